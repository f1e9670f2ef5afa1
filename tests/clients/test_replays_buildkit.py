# SPDX-License-Identifier: Apache-2.0
"""What buildkit sends, request by request: caches in both forms, and attestations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.artifact_steps import (
    get_manifest,
    put_manifest,
    put_whole,
)
from tests.clients.replay import Row, replay
from tests.support.images import (
    DOCKER_MANIFEST_LIST,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Content,
    image_manifest,
    index,
    json_bytes,
    random_blob,
    random_image,
)

if TYPE_CHECKING:
    from tests.support.wire import Wire

BUILDKIT = {"User-Agent": "buildkit/v0.23", "Accept-Encoding": "zstd, gzip, deflate"}
CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"


def cache_parts() -> tuple[Content, tuple[Content, ...]]:
    """The config of a build cache and the layers that it describes."""
    layers = tuple(random_blob(2000, OCI_LAYER_GZIP) for _ in range(3))
    described = [{"blob": layer.digest, "parent": -1} for layer in layers]
    return Content(json_bytes({"layers": described, "records": []}), CACHE_CONFIG), layers


def cache_round_trip(wire: Wire, repository: str, made: Content, blobs: list[Content]) -> None:
    """Look for a cache, write it, read it, and overwrite its tag."""
    rows = [
        Row(
            ask="HEAD /v2/{name}/manifests/cache",
            sends={"Accept": f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_MANIFEST_LIST}, */*"},
            status=404,
        ),
        *put_whole(*blobs),
        put_manifest(made, "cache"),
        *get_manifest(made, "cache"),
        *(
            Row(ask=f"GET /v2/{{name}}/blobs/{blob.digest}", status=200, answer=blob)
            for blob in blobs
        ),
        put_manifest(made, "cache"),
    ]
    replay(wire, rows, always=BUILDKIT, name=repository)


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_MANIFEST_LIST])
def test_buildkit_cache_as_index(wire: Wire, repository: str, media_type: str) -> None:
    """Buildkit's older cache is an index whose children are blobs: its layers and its config."""
    config, layers = cache_parts()
    blobs = [*layers, config]
    children = [
        blob.descriptor(annotations={"buildkit/createdat": "2024-01-01T00:00:00Z"})
        for blob in blobs
    ]
    cache_round_trip(wire, repository, index(children, media_type=media_type), blobs)


def test_buildkit_cache_as_image(wire: Wire, repository: str) -> None:
    """Buildkit's newer cache is an image manifest with a config type of its own."""
    config, layers = cache_parts()
    cache_round_trip(wire, repository, image_manifest(config, layers), [*layers, config])


def test_buildkit_attestation(wire: Wire, repository: str) -> None:
    """A build's index lists the image and, for no platform, the attestation that belongs to it."""
    image = random_image()
    statement = random_blob(1500, "application/vnd.in-toto+json")
    config = Content(b'{"architecture":"unknown","os":"unknown"}', OCI_EMPTY)
    attestation = image_manifest(config, [statement])
    both = index(
        [
            image.manifest.descriptor(platform={"architecture": "amd64", "os": "linux"}),
            attestation.descriptor(
                platform={"architecture": "unknown", "os": "unknown"},
                annotations={
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": image.manifest.digest,
                },
            ),
        ]
    )
    rows = [
        *put_whole(*image.blobs, statement, config),
        put_manifest(image.manifest),
        put_manifest(attestation),
        put_manifest(both, "1"),
        *get_manifest(both, "1"),
        *get_manifest(attestation),
    ]
    replay(wire, rows, always=BUILDKIT, name=repository)
