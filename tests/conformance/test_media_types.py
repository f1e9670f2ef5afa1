# SPDX-License-Identifier: Apache-2.0
"""The media type of a pushed manifest (end-7a): from its header, its body or its look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import assert_error, changed
from tests.support.images import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    docker_image,
    index,
    random_image,
)

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"

CONTENT_TYPES = [
    # (Content-Type sent, mediaType in the body, expected)
    (f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST, OCI_MANIFEST),
    (f"{OCI_MANIFEST}; charset=utf-8", None, OCI_MANIFEST),
    (OCI_MANIFEST.upper(), None, OCI_MANIFEST),
    (None, OCI_MANIFEST, OCI_MANIFEST),
    (None, DOCKER_MANIFEST, DOCKER_MANIFEST),
    (None, None, OCI_MANIFEST),
    (DOCKER_MANIFEST, OCI_MANIFEST, None),
    (OCI_MANIFEST, DOCKER_MANIFEST, None),
    (OCI_INDEX, OCI_MANIFEST, None),
    (OCI_INDEX, None, None),
    (SCHEMA_1, None, None),
    ("application/x.unknown", None, None),
]


@pytest.mark.parametrize(("sent", "inside", "expected"), CONTENT_TYPES)
def test_content_type(
    repository: Repository, sent: str | None, inside: str | None, expected: str | None
) -> None:
    """Header and body must not contradict each other; the bare type is what comes back."""
    image = random_image()
    for blob in image.blobs:
        repository.push_blob(blob)
    manifest = changed(image.manifest, mediaType=inside)

    answer = repository.wire.request(
        "PUT",
        repository.manifest_path("v1"),
        body=manifest.payload,
        headers=[] if sent is None else [("Content-Type", sent)],
    )

    if expected is None:
        assert_error(answer, 400, "MANIFEST_INVALID")
    else:
        assert answer.status == 201, answer
        got = repository.get_manifest("v1", ("Accept", "*/*"))
        assert got.headers.get_all("Content-Type") == [expected]
        assert got.body == manifest.payload


def test_docker_types(repository: Repository) -> None:
    """Docker's own manifest and list are stored and served under their own types."""
    image = docker_image()
    repository.push_image(image, "v1")
    listed = index(
        [image.manifest.descriptor(platform={"os": "linux", "architecture": "amd64"})],
        media_type=DOCKER_MANIFEST_LIST,
    )
    repository.push_manifest(listed, "list")

    for tag, manifest in (("v1", image.manifest), ("list", listed)):
        got = repository.get_manifest(tag, ("Accept", manifest.media_type))
        assert (got.status, got.body) == (200, manifest.payload)
        assert got.headers["Content-Type"] == manifest.media_type


@pytest.mark.parametrize("sent", [None, OCI_INDEX])
def test_index_without_media_type(repository: Repository, sent: str | None) -> None:
    """An index that does not say what it is is recognized by its list of manifests."""
    manifest = changed(index([]), mediaType=None)
    headers = [] if sent is None else [("Content-Type", sent)]

    path = repository.manifest_path("v1")
    answer = repository.wire.request("PUT", path, body=manifest.payload, headers=headers)

    assert answer.status == 201, answer
    assert repository.get_manifest("v1").headers["Content-Type"] == OCI_INDEX
