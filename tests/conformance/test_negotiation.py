# SPDX-License-Identifier: Apache-2.0
"""Accept on manifest pulls (end-3): never converted; a child of an index only for old clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import assert_error
from tests.support.images import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    docker_image,
    index,
    random_image,
)

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"

# Whoever accepts one of these lists gets what is stored, whatever it is.
WHOLE: dict[str, list[str]] = {
    "everything": ["*/*"],
    "any application": ["application/*"],
    "containerd": [f"{DOCKER_MANIFEST}, {DOCKER_MANIFEST_LIST}, {OCI_MANIFEST}, {OCI_INDEX}, */*"],
    "several lines": [DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX],
    "weights": [f"{OCI_INDEX};q=0.1, {OCI_MANIFEST};q=0.9, {DOCKER_MANIFEST_LIST};q=0.5"],
    "upper case": [OCI_INDEX.upper(), DOCKER_MANIFEST_LIST.upper(), OCI_MANIFEST],
    "images, and anything else": [f"{DOCKER_MANIFEST}, {OCI_MANIFEST}, */*;q=0.1"],
    "nonsense": ["///,;;;q=,,"],
    "empty": [""],
}


def push_both(repository: Repository) -> dict[str, Content]:
    """An image and an index of two platforms, in OCI's types and in Docker's."""
    pushed: dict[str, Content] = {}
    for family in ("oci", "docker"):
        images = [random_image() if family == "oci" else docker_image() for _ in range(2)]
        for image in images:
            repository.push_image(image)
        platforms = ("arm64", "amd64")
        children = [
            image.manifest.descriptor(platform={"os": "linux", "architecture": platform})
            for image, platform in zip(images, platforms, strict=True)
        ]
        listed = index(children, media_type=OCI_INDEX if family == "oci" else DOCKER_MANIFEST_LIST)
        pushed[f"{family}-image"] = images[1].manifest
        pushed[f"{family}-index"] = listed
        repository.push_manifest(images[1].manifest, f"{family}-image")
        repository.push_manifest(listed, f"{family}-index")
    return pushed


@pytest.mark.parametrize("row", WHOLE)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_stored_is_served(repository: Repository, row: str, method: str) -> None:
    """Image or index, by tag or by digest, comes back as it was pushed."""
    accept = [("Accept", value) for value in WHOLE[row]]
    for tag, manifest in push_both(repository).items():
        for reference in (tag, manifest.digest):
            path = repository.manifest_path(reference)
            answer = repository.wire.request(method, path, headers=accept)
            assert answer.status == 200, answer
            assert answer.headers["Content-Type"] == manifest.media_type
            assert answer.headers["Docker-Content-Digest"] == manifest.digest
            assert answer.headers["Content-Length"] == str(manifest.size)


def test_no_accept_at_all(repository: Repository) -> None:
    """A client that says nothing gets what is stored."""
    for tag, manifest in push_both(repository).items():
        answer = repository.wire.get(repository.manifest_path(tag))
        assert (answer.status, answer.body) == (200, manifest.payload)


@pytest.mark.parametrize("accept", [OCI_MANIFEST, DOCKER_MANIFEST, SCHEMA_1, "text/html"])
@pytest.mark.parametrize("tag", ["oci-image", "docker-image", "oci-index", "docker-index"])
def test_by_digest_the_very_object(repository: Repository, accept: str, tag: str) -> None:
    """By digest a client gets the object with that digest, or nothing."""
    manifest = push_both(repository)[tag]

    answer = repository.get_manifest(manifest, ("Accept", accept))

    assert answer.status in {200, 404}, answer
    if answer.status == 200:
        assert answer.body == manifest.payload
        assert answer.headers["Content-Type"] == manifest.media_type
    assert answer.status == 200 or accept == SCHEMA_1


# A client from before indexes, and the tag of an index in its family.
OLD_CLIENTS = [
    ("docker-index", [DOCKER_MANIFEST]),
    ("docker-index", [DOCKER_MANIFEST, SCHEMA_1]),
    ("oci-index", [OCI_MANIFEST]),
    ("oci-index", [f"{OCI_MANIFEST}, {DOCKER_MANIFEST}"]),
]


@pytest.mark.parametrize(("tag", "accept"), OLD_CLIENTS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_old_client_gets_a_child(
    repository: Repository, tag: str, accept: list[str], method: str
) -> None:
    """A client that knows single images only gets the linux/amd64 child of an index, by tag."""
    child = push_both(repository)[tag.replace("index", "image")]

    answer = repository.wire.request(
        method, repository.manifest_path(tag), headers=[("Accept", value) for value in accept]
    )

    assert answer.status == 200, answer
    assert answer.headers["Docker-Content-Digest"] == child.digest
    assert answer.headers["Content-Type"] == child.media_type
    assert answer.headers["ETag"] == f'"{child.digest}"'
    assert answer.headers["Content-Length"] == str(child.size)
    if method == "GET":
        assert answer.body == child.payload


@pytest.mark.parametrize("tag", ["oci-image", "docker-image"])
def test_other_family_is_not_converted(repository: Repository, tag: str) -> None:
    """An image in the other family's type is served as it is."""
    manifest = push_both(repository)[tag]
    other = DOCKER_MANIFEST if tag == "oci-image" else OCI_MANIFEST

    answer = repository.get_manifest(tag, ("Accept", other))

    assert (answer.status, answer.body) == (200, manifest.payload)
    assert answer.headers["Content-Type"] == manifest.media_type


@pytest.mark.parametrize("tag", ["oci-image", "docker-image", "oci-index", "docker-index"])
def test_only_schema_1(repository: Repository, tag: str) -> None:
    """Who accepts only the dead first schema gets nothing."""
    push_both(repository)

    answer = repository.get_manifest(tag, ("Accept", SCHEMA_1))

    assert_error(answer, 404, "MANIFEST_UNKNOWN")


def test_manifest_is_no_blob(repository: Repository) -> None:
    """A manifest cannot be fetched as a blob, nor a blob as a manifest."""
    image = random_image()
    repository.push_image(image, "v1")

    assert_error(repository.get_blob(image.manifest), 404, "BLOB_UNKNOWN")
    assert_error(repository.get_manifest(image.config), 404, "MANIFEST_UNKNOWN")
