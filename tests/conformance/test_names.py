# SPDX-License-Identifier: Apache-2.0
"""Names of repositories, tags and digests: the grammar, and segments that look like routes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.conformance.verbs import (
    ALGORITHMS,
    Repository,
    assert_error,
    assert_pullable,
    manifests_of,
    tags_of,
)
from tests.support.images import artifact, digest_of, index, random_blob, random_image

if TYPE_CHECKING:
    from tests.support.wire import Wire

# Every one is a legal name of a repository, whatever it looks like.
CONFUSING = [
    "blobs",
    "manifests",
    "tags",
    "uploads",
    "referrers",
    "v2",
    "list",
    "a/blobs/b",
    "a/manifests/b",
    "a/tags/list",
    "a/blobs/uploads",
    "a/referrers/b",
    "blobs/uploads",
    "manifests/latest",
    "tags/list/tags/list",
    "a/b/blobs/uploads/manifests/tags/list",
    "v2/v2/blobs",
    "blobs/blobs/blobs",
    "manifests/manifests",
    "uploads/uploads/blobs/uploads",
]

VALID = [
    "a",
    "0",
    "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p",
    "a.b",
    "a_b",
    "a__b",
    "a-b",
    "a---b",
    "a.b_c__d-e--f/0.1",
    "library/0000",
    "x" * 200,
    "/".join("x" * 20),
]

INVALID = [
    "A",
    "a/B",
    "a//b",
    "-a",
    "a-",
    ".a",
    "a.",
    "a..b",
    "a_",
    "a___b",
    "a._b",
    "a/-b",
    "a b",
    "a/b+c",
    "a@b",
    "\u00e4",
    "a:b",
    "a~b",
    "a/../b",
    "a/./b",
    "x" * 256,
]

TAGS = ["a", "A", "0", "_", "_a", "a.b", "a-b", "v1.0.0-rc.1", "x" * 128, "latest", "UPPER", "list"]
INVALID_TAGS = [".a", "-a", "a+b", "a b", "x" * 129, "a@b", "a~", "\u00e4", "a/b", ".INVALID", "a$"]


@pytest.mark.parametrize("confusing", CONFUSING)
def test_confusing_name(wire: Wire, confusing: str) -> None:
    """A repository may be called like a part of an address; every operation works in it."""
    prefix = uuid.uuid4().hex[:8]
    for name in (f"{prefix}/{confusing}", f"{confusing}/{prefix}"):
        repository = Repository(wire, name)
        image = random_image()
        repository.push_image(image, "v1")
        referrer = artifact("application/x.a", image.layers, subject=image.manifest)
        repository.push_image(referrer)
        blob = random_blob()
        location = repository.chunk(repository.open(), blob.payload, 0).location
        assert location.startswith(f"/v2/{name}/blobs/uploads/")
        assert wire.get(location).status == 204
        assert repository.close(location, blob.digest).status == 201

        assert_pullable(repository, blob)
        assert repository.get_manifest("v1").body == image.manifest.payload
        assert repository.tags().json() == {"name": name, "tags": ["v1"]}
        (found,) = manifests_of(repository.referrers(image.manifest))
        assert found["digest"] == referrer.manifest.digest
        assert repository.sibling("target").mount(blob, name).status == 201
        assert repository.delete_manifest("v1").status == 202
        assert repository.delete_blob(blob).status == 202
        assert tags_of(repository.tags()) == []


@pytest.mark.parametrize("valid", VALID)
def test_valid_name(wire: Wire, valid: str) -> None:
    """Every name of the grammar is a repository."""
    repository = Repository(wire, valid)
    tag = uuid.uuid4().hex
    repository.push_manifest(index([]), tag)

    assert repository.get_manifest(tag).status == 200
    assert tag in tags_of(repository.tags())


@pytest.mark.parametrize("invalid", INVALID)
def test_invalid_name(wire: Wire, invalid: str) -> None:
    """A name outside the grammar is refused by every operation, and by none with a 5xx."""
    path = f"/v2/{quote(invalid)}"
    manifest = index([])
    answers = [
        wire.get(f"{path}/manifests/latest"),
        wire.get(f"{path}/blobs/{manifest.digest}"),
        wire.get(f"{path}/tags/list"),
        wire.get(f"{path}/referrers/{manifest.digest}"),
        wire.post(f"{path}/blobs/uploads/"),
        wire.put(f"{path}/manifests/latest", body=manifest.payload),
        wire.delete(f"{path}/manifests/latest"),
        wire.delete(f"{path}/blobs/{manifest.digest}"),
    ]

    for answer in answers:
        assert answer.status in {400, 404}, answer
        assert set(answer.error_codes()) & {"NAME_INVALID", "NAME_UNKNOWN", "UNSUPPORTED"}, answer


@pytest.mark.parametrize("tag", TAGS)
def test_valid_tag(repository: Repository, tag: str) -> None:
    """Every tag of the grammar can be pushed, pulled, listed and deleted."""
    repository.push_manifest(index([]), tag)

    assert repository.get_manifest(tag).status == 200
    assert tags_of(repository.tags()) == [tag]
    assert repository.delete_manifest(tag).status == 202


@pytest.mark.parametrize("tag", INVALID_TAGS)
def test_invalid_tag(repository: Repository, tag: str) -> None:
    """What is no tag is a 400 to push and simply not there to everything else."""
    reference = quote(tag)
    if "/" not in tag:
        assert_error(repository.put_manifest(index([]), reference), 400, "TAG_INVALID")
        for method in ("GET", "DELETE"):
            answer = repository.wire.request(method, repository.manifest_path(reference))
            assert_error(answer, 404, "MANIFEST_UNKNOWN")
        assert repository.head_manifest(reference).status == 404
    answer = repository.put_manifest(index([]), tags=["good", tag])
    assert_error(answer, 400, "TAG_INVALID")
    assert repository.tags().status == 404


def test_tags_differ_by_case(repository: Repository) -> None:
    """`Latest` and `latest` are two tags."""
    upper, lower = index([]), index([], annotations={"a": "b"})
    repository.push_manifest(upper, "Latest")
    repository.push_manifest(lower, "latest")

    assert repository.get_manifest("Latest").body == upper.payload
    assert repository.get_manifest("latest").body == lower.payload
    assert tags_of(repository.tags()) == ["Latest", "latest"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_encoded_digest(repository: Repository, algorithm: str) -> None:
    """A client may write the colon of a digest as it stands or percent-encoded, anywhere."""
    image = random_image(algorithm=algorithm)
    repository.push_image(image)
    layer = image.layers[0]

    for digest, kind in ((layer.digest, "blobs"), (image.manifest.digest, "manifests")):
        for colon in (":", "%3A", "%3a"):
            answer = repository.wire.get(f"{repository.path}/{kind}/{digest.replace(':', colon)}")
            assert answer.status == 200, answer
            assert answer.headers["Docker-Content-Digest"] == digest


def test_encoded_letters_are_the_same_name(wire: Wire, name: str) -> None:
    """Percent-encoding a character that needs none changes nothing."""
    Repository(wire, name).push_manifest(index([]), "v1")
    encoded = name.replace("o", "%6f").replace("c", "%63")

    assert wire.get(f"/v2/{encoded}/manifests/%761").status == 200


@pytest.mark.parametrize(
    "path",
    ["tags/list", "referrers/" + digest_of(b"x"), "blobs/" + digest_of(b"x"), "manifests/v1"],
)
def test_last_slash(repository: Repository, path: str) -> None:
    """A slash too many is answered, never redirected."""
    repository.push_manifest(index([]), "v1")

    answer = repository.wire.get(f"{repository.path}/{path}/")

    assert answer.status in {200, 400, 404}, answer
    assert "Location" not in answer.headers


def test_ping_with_and_without_slash(wire: Wire) -> None:
    """Both addresses are the ping itself."""
    for path in ("/v2", "/v2/"):
        answer = wire.get(path)
        assert (answer.status, answer.json()) == (200, {})
        assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/_oci/ext/unknown",
        "/v2/a/_oci/nothing/here",
        "/v2/a/b",
        "/v2/a/blobs",
        "/v2/a/manifests",
        "/v2/a/tags",
        "/v2/a/tags/other",
        "/v2//",
        "/v2/manifests/latest",
        "/v2/tags/list",
        "/v1/search?q=x&n=5",
        "/v1/_ping",
        "/v3/",
        "/nothing",
    ],
)
def test_no_such_address(wire: Wire, path: str) -> None:
    """What is no address of the protocol is a 404 in JSON."""
    answer = wire.get(path)

    assert answer.status == 404, answer
    if path.startswith("/v2/"):
        assert answer.error_codes()


def test_discover(wire: Wire) -> None:
    """The list of extensions exists, whether or not there are any."""
    answer = wire.get("/v2/_oci/ext/discover")

    assert answer.status == 200, answer
    document = answer.json()
    assert isinstance(document, dict)
    assert isinstance(document["extensions"], list)
