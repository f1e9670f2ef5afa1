# SPDX-License-Identifier: Apache-2.0
"""JSON that parsers disagree about or choke on, pushed as manifests of every type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import changed
from tests.hostile.victim import ALLOWED_GROWTH, assert_civil
from tests.support.images import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    digest_of,
    image_manifest,
    index,
    json_bytes,
    random_image,
)

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository
    from tests.hostile.victim import Victim

TYPES = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST]
LIMIT = 4 * 1024 * 1024
DIGEST = digest_of(b"x")
MANY_KEYS = (
    b'{"schemaVersion":2,"manifests":[],"x":{'
    + b",".join(b'"%x":1' % number for number in range(350_000))
    + b"}}"
)
START = b'{"schemaVersion":2,"mediaType":"%s",'
REST = b'"config":{"mediaType":"a/b","digest":"%s","size":1},"layers":[]' % DIGEST.encode()


def nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    """Brackets in brackets, as the value of an unknown field."""
    return START + b'"x":' + opening * depth + b"1" + closing * depth + b"}"


# {type} stands for the media type; none of them may be accepted.
HOSTILE: dict[str, bytes] = {
    "deep lists": nested(b"[", b"]", 100_000),
    "deep objects": nested(b'{"a":', b"}", 100_000),
    "deep lists, not closed": START + b'"x":' + b"[" * 1_000_000,
    "500 levels": nested(b"[", b"]", 500),
    "duplicate key": START + REST + b',"schemaVersion":2}',
    "duplicate layers": START + REST + b',"layers":[]}',
    "duplicate key inside": START + b'"annotations":{"a":"b","a":"c"},' + REST + b"}",
    "duplicate key, escaped": START + REST + b',"\\u006cayers":[]}',
    "NaN": START + REST + b',"x":NaN}',
    "Infinity": START + REST + b',"x":-Infinity}',
    "huge integer": START + REST + b',"x":' + b"9" * 100_000 + b"}",
    "huge integer as size": START + REST.replace(b'"size":1', b'"size":' + b"9" * 5000) + b"}",
    "size beyond 64 bits": START + REST.replace(b'"size":1', b'"size":9223372036854775808') + b"}",
    "huge exponent": START + REST.replace(b'"size":1', b'"size":1e999999') + b"}",
    "lone surrogate": START + REST + b',"annotations":{"a":"\\ud800"}}',
    "lone surrogate as key": START + REST + b',"annotations":{"\\udfff":"a"}}',
    "surrogates the wrong way": START + REST + b',"annotations":{"a":"\\ude00\\ud83d"}}',
    "not UTF-8": START + REST + b',"annotations":{"a":"\xff\xfe"}}',
    "overlong UTF-8": START + REST + b',"annotations":{"a":"\xc0\xaf"}}',
    "UTF-8 surrogate": START + REST + b',"annotations":{"a":"\xed\xa0\x80"}}',
    "UTF-16": json.dumps({"schemaVersion": 2}).encode("utf-16"),
    "UTF-32": json.dumps({"schemaVersion": 2}).encode("utf-32"),
    "byte order mark": b"\xef\xbb\xbf" + START + REST + b"}",
    "layers and manifests": START + REST + b',"manifests":[]}',
    "config and manifests": START + b'"manifests":[],"config":{}}',
    "case of the keys": START + b'"Layers":[],"Config":{},"Manifests":[]}',
    "comment": START + REST + b"/* x */}",
    "trailing comma": START + REST + b",}",
    "single quotes": b"{'schemaVersion':2}",
    "trailing garbage": START + REST + b"}x",
    "control character": START + REST + b',"annotations":{"a":"\x01"}}',
    "NUL at the end": START + REST + b"}\x00",
    "not closed": START + REST,
    "only white space": b" " * LIMIT,
    "only brackets": b"[" * LIMIT,
    "many empty lists": START + b'"x":[' + b"[]," * 1_300_000 + b"[]]}",
    "many commas": b"," * LIMIT,
    "many quotes": b'"' * LIMIT,
    "many backslashes": b'{"a":"' + b"\\" * (LIMIT - 10) + b'"}',
    "colliding floats": START + b'"x":[' + b"1e5," * 700_000 + b"1]}",
    "gzip": b"\x1f\x8b\x08\x00" + b"\x00" * 100,
}


@pytest.mark.parametrize("row", HOSTILE)
def test_hostile_json(repository: Repository, row: str) -> None:
    """It is refused as whatever it claims to be, and the tag is not there."""
    for media_type in TYPES:
        payload = HOSTILE[row].replace(b"%s", media_type.encode(), 1)
        manifest = Content(payload[:LIMIT], media_type)
        for answer in (
            repository.put_manifest(manifest, "v1"),
            repository.put_manifest(manifest, chunked=True),
        ):
            assert_civil(answer)
            assert answer.status == 400, (media_type, answer)
            assert set(answer.error_codes()) <= {"MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN"}
        assert repository.get_manifest("v1").status == 404


def test_memory_stays(victim: Victim, repository: Repository) -> None:
    """The worst of them, again and again, leave the process about as large as before."""
    for row in HOSTILE:
        repository.put_manifest(Content(HOSTILE[row][:LIMIT], OCI_INDEX), "v1")
    before = victim.memory()

    for _ in range(3):
        assert repository.put_manifest(Content(MANY_KEYS, OCI_INDEX), "v1").status in {201, 400}
        for row in ("many empty lists", "colliding floats", "deep lists, not closed"):
            repository.put_manifest(Content(HOSTILE[row][:LIMIT], OCI_INDEX), "v1")

    assert victim.memory() - before < ALLOWED_GROWTH


def test_same_value_another_escape(repository: Repository) -> None:
    """Escapes and pairs of surrogates that are well-formed are accepted and kept as they are."""
    payload = json_bytes({"schemaVersion": 2, "manifests": [], "annotations": {"a": "\U0001f600"}})
    assert b"\\ud83d\\ude00" in payload

    assert repository.put_manifest(Content(payload, OCI_INDEX), "v1").status == 201
    assert repository.get_manifest("v1").body == payload


STRANGE_VALUES: list[object] = [
    None, True, 0, -1, 2**63 - 1, 1.5, "", "x" * 100_000, [], {}, [[]], [None], {"a": None}, "\x00",
    "../../etc/passwd", "sha256:" + "a" * 64, "\u202e", ["sha256:" + "a" * 64], {"digest": DIGEST},
]  # fmt: skip

FIELDS = [
    "schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject",
    "annotations", "blobs", "fsLayers", "history", "signatures", "platform", "urls", "data",
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_strange_field(repository: Repository, field: str) -> None:
    """Any field may have any value: what is accepted is served back, the rest is a 400."""
    image = random_image()
    for blob in image.blobs:
        repository.push_blob(blob)

    for manifest in (image.manifest, index([]), image_manifest(image.config, [])):
        for value in STRANGE_VALUES:
            strange = changed(manifest, **{field: value})
            answer = repository.put_manifest(strange, "v1")
            assert_civil(answer)
            assert answer.status in {201, 400}, (value, answer)
            if answer.status == 201:
                assert repository.get_manifest("v1").body == strange.payload
                assert repository.referrers(strange).status == 200


@pytest.mark.parametrize(
    "field", ["mediaType", "digest", "size", "urls", "annotations", "data", "platform"]
)
def test_strange_descriptor(repository: Repository, field: str) -> None:
    """Any field of a descriptor may have any value, wherever the descriptor is."""
    image = random_image()
    for blob in image.blobs:
        repository.push_blob(blob)

    for value in STRANGE_VALUES:
        strange = {**image.config.descriptor(), field: value}
        for manifest in (
            changed(image.manifest, config=strange),
            changed(image.manifest, layers=[strange]),
            changed(image.manifest, subject=strange),
            changed(index([]), manifests=[strange]),
        ):
            answer = repository.put_manifest(manifest, "v1")
            assert_civil(answer)
            assert answer.status in {201, 400}, (value, answer)


def test_thousands_of_missing_blobs(repository: Repository) -> None:
    """A manifest with forty thousand absent layers is refused in a bounded answer."""
    config = random_image().config
    repository.push_blob(config)
    layers = [
        {"mediaType": "a/b", "digest": f"sha256:{number:064x}", "size": 1}
        for number in range(35_000)
    ]

    answer = repository.put_manifest(changed(image_manifest(config, []), layers=layers), "v1")

    assert answer.status == 400, answer.status
    assert len(answer.body) < 1024 * 1024
