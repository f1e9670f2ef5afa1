# SPDX-License-Identifier: Apache-2.0
"""Manifest push (end-7a): what is accepted as it is, what is refused, and sizes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from tests.conformance.verbs import Repository, assert_error, changed
from tests.support.images import (
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    Image,
    Json,
    digest_of,
    image_manifest,
    index,
    random_blob,
    random_image,
)
from tests.support.wire import Wire

if TYPE_CHECKING:
    from tests.support.registry import RunningRegistry

FOUR_MIB = 4 * 1024 * 1024
ABSENT = digest_of(b"never pushed")


@pytest.fixture
def image(repository: Repository) -> Image:
    """An image whose blobs the repository has, its manifest not yet pushed."""
    image = random_image(layers=2)
    for blob in image.blobs:
        repository.push_blob(blob)
    return image


def descriptor(**fields: object) -> Json:
    """A descriptor of something that is not there."""
    return {"mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 5, **fields}


FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

# Fields over a good manifest; each result is good too.
ACCEPTED: dict[str, Json] = {
    "as it is": {},
    "no mediaType": {"mediaType": None},
    "no layers": {"layers": []},
    "no annotations": {"annotations": None},
    "empty annotations": {"annotations": {}},
    "unknown field": {"org.example.unknown": {"deep": [1, 2.5, None, True]}},
    "artifact type": {"artifactType": "application/x.anything"},
    "absent subject": {"subject": descriptor()},
    "layer to be had elsewhere": {
        "layers": [descriptor(mediaType=FOREIGN, urls=["https://example.com/x"])]
    },
    "not distributable layer": {"layers": [descriptor(mediaType=FOREIGN)]},
    "unicode": {"annotations": {"\u00e4\u4e2d\U0001f600": "\u00e4\u4e2d\U0001f600"}},
}


@pytest.mark.parametrize("row", ACCEPTED)
@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "chunked"])
def test_accepted(repository: Repository, image: Image, row: str, chunked: object) -> None:
    """The manifest is stored and served byte for byte."""
    manifest = changed(image.manifest, **ACCEPTED[row])

    answer = repository.put_manifest(manifest, "v1", chunked=bool(chunked))

    assert answer.status == 201, answer
    assert answer.headers["Docker-Content-Digest"] == manifest.digest
    got = repository.get_manifest("v1")
    assert got.body == manifest.payload
    assert got.headers["Content-Type"] == OCI_MANIFEST


def test_formatting_is_kept(repository: Repository, image: Image) -> None:
    """White space, order and escapes are the pusher's business: they are what the digest covers."""
    document = json.loads(image.manifest.payload)
    text = json.dumps(dict(reversed(document.items())), indent="\t")
    escaped = text.replace("application", "a\\u0070plication").encode()
    manifest = replace(image.manifest, payload=b"\n " + escaped + b"\r\n\t")

    assert repository.put_manifest(manifest, "v1").status == 201
    assert repository.get_manifest("v1").body == manifest.payload


def test_duplicate_layers(repository: Repository, image: Image) -> None:
    """An image may have the same layer several times."""
    manifest = image_manifest(image.config, [image.layers[0]] * 5)

    assert repository.put_manifest(manifest, "v1").status == 201


def test_thousand_layers(repository: Repository, image: Image) -> None:
    """An image may have very many layers."""
    layers = [random_blob(10) for _ in range(30)]
    for layer in layers:
        repository.push_blob(layer)

    manifest = image_manifest(image.config, layers * 34)

    assert repository.put_manifest(manifest, "v1").status == 201


# (name, body or fields over a good manifest)
REFUSED: dict[str, bytes | Json] = {
    "nothing": b"",
    "no JSON": b"blablabla",
    "a list": b"[]",
    "a string": b'"manifest"',
    "null": b"null",
    "an empty object": b"{}",
    "cut off": b'{"schemaVersion":2',
    "two documents": b"{}{}",
    "schema 1": {"schemaVersion": 1},
    "schema as text": {"schemaVersion": "2"},
    "no schema": {"schemaVersion": None},
    "other media type": {"mediaType": OCI_INDEX},
    "unknown media type": {"mediaType": "application/x.unknown"},
    "media type no text": {"mediaType": 5},
    "image and index at once": {"manifests": []},
    "no config": {"config": None},
    "config no object": {"config": "text"},
    "config without digest": {"config": {"mediaType": "a/b", "size": 1}},
    "config with a bad digest": {"config": descriptor(digest="sha256:bad")},
    "config with a number as digest": {"config": descriptor(digest=5)},
    "layers no list": {"layers": {}},
    "layer no object": {"layers": ["text"]},
    "layer null": {"layers": [None]},
    "layer with a bad digest": {"layers": [descriptor(digest="latest")]},
    "layer of negative size": {"layers": [descriptor(size=-1)]},
    "layer with a size that is text": {"layers": [descriptor(size="1")]},
    "layer with a broken size": {"layers": [descriptor(size=1.5)]},
    "subject no object": {"subject": "text"},
    "subject with a bad digest": {"subject": descriptor(digest="nothing")},
    "annotations no object": {"annotations": []},
    "annotation no text": {"annotations": {"a": 1}},
    "artifact type no text": {"artifactType": 1},
}


@pytest.mark.parametrize("row", REFUSED)
def test_refused(repository: Repository, image: Image, row: str) -> None:
    """What is no manifest is a 400 with a code, and leaves nothing behind."""
    change = REFUSED[row]
    if isinstance(change, bytes):
        manifest = Content(change, OCI_MANIFEST)
    else:
        manifest = replace(changed(image.manifest, **change), media_type=OCI_MANIFEST)

    answer = repository.put_manifest(manifest, "v1")

    assert answer.status == 400, answer
    assert set(answer.error_codes()) <= {"MANIFEST_INVALID", "DIGEST_INVALID"}, answer
    assert repository.get_manifest("v1").status == 404
    assert repository.get_manifest(manifest).status == 404


def test_missing_blobs(repository: Repository, image: Image) -> None:
    """Blobs that are not in this repository are named, one error each."""
    config, layer = random_blob(), random_blob()
    repository.sibling("other").push_blob(layer)
    manifest = image_manifest(config, [layer, image.layers[0], layer])

    answer = repository.put_manifest(manifest, "v1")

    assert_error(answer, 400, "MANIFEST_BLOB_UNKNOWN")
    errors = cast("dict[str, list[dict[str, dict[str, str]]]]", answer.json())["errors"]
    missing = sorted(error["detail"]["digest"] for error in errors)
    assert missing == sorted([config.digest, layer.digest])
    assert repository.get_manifest("v1").status == 404


def test_missing_layer_where_allowed(sparse_registry: RunningRegistry, name: str) -> None:
    """With validation off an image may come before its layers."""
    image = random_image()
    with Wire(f"http://{sparse_registry.host}") as wire:
        repository = Repository(wire, name)
        assert repository.put_manifest(image.manifest, "v1").status == 201
        assert repository.get_manifest("v1").body == image.manifest.payload


INDEXES: dict[str, list[Json]] = {
    "empty": [],
    "sparse": [descriptor()],
    "nested": [descriptor(mediaType=OCI_INDEX)],
    "unknown child type": [descriptor(mediaType="application/x.unknown")],
    "unknown platform": [descriptor(platform={"os": "unknown", "architecture": "unknown"})],
    "no platform": [descriptor()],
    "twice the same": [descriptor(), descriptor()],
    "data": [descriptor(data="AAAAAAA=", digest=digest_of(bytes(5)))],
}


@pytest.mark.parametrize("row", INDEXES)
@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_MANIFEST_LIST], ids=["oci", "docker"])
def test_index(repository: Repository, row: str, media_type: str) -> None:
    """An index may name what is not there, and be of any shape."""
    manifest = index(INDEXES[row], media_type=media_type)

    assert repository.put_manifest(manifest, "v1").status == 201
    assert repository.get_manifest("v1", ("Accept", media_type)).body == manifest.payload


def test_index_of_blobs(repository: Repository) -> None:
    """A build cache is an index whose children are layers and a config."""
    layer, config = random_blob(), random_blob()
    for blob in (layer, config):
        repository.push_blob(blob)
    cache = index(
        [
            layer.descriptor(),
            config.descriptor(mediaType="application/vnd.buildkit.cacheconfig.v0"),
        ]
    )

    assert repository.put_manifest(cache, "cache").status == 201
    assert repository.get_blob(layer).status == 200


def padded(image: Image, size: int) -> Content:
    """The image's manifest, made to have exactly this many bytes."""
    manifest = changed(image.manifest, annotations={"padding": ""})
    padding = "x" * (size - manifest.size)
    return changed(image.manifest, annotations={"padding": padding})


@pytest.mark.parametrize("difference", [-1, 0, 1, 4 * FOUR_MIB])
@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "chunked"])
def test_size_limit(repository: Repository, image: Image, difference: int, chunked: object) -> None:
    """Exactly 4 MiB are accepted, one byte more is a 413, told or not told beforehand."""
    manifest = padded(image, FOUR_MIB + difference)
    assert manifest.size == FOUR_MIB + difference

    answer = repository.put_manifest(manifest, "v1", chunked=bool(chunked))

    if difference <= 0:
        assert answer.status == 201, answer
        assert repository.get_manifest("v1").body == manifest.payload
    else:
        assert_error(answer, 413, "SIZE_INVALID")
        assert repository.get_manifest("v1").status == 404


def test_sparse_index_is_remarked_on(repository: Repository) -> None:
    """Whoever pushes an index without all of its manifests is told; a complete one is not."""
    sparse = index([descriptor()])
    answer = repository.put_manifest(sparse, "sparse")

    assert answer.status == 201
    remark = answer.headers["Warning"]
    assert remark.startswith('299 - "1 of the index')
    assert "Warning" not in repository.put_manifest(index([]), "complete").headers
