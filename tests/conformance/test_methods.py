# SPDX-License-Identifier: Apache-2.0
"""Every endpoint's failures, 405 with Allow, and what deletes leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import Repository, assert_error
from tests.support.images import digest_of, index, random_blob, random_image
from tests.support.wire import Wire

if TYPE_CHECKING:
    from tests.support.registry import RunningRegistry

ABSENT = digest_of(b"never pushed")

# (method, path below the repository, status, code): nothing was ever pushed to it.
FAILURES = [
    ("GET", f"blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
    ("DELETE", f"blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
    ("GET", "blobs/sha256:bad", 400, "DIGEST_INVALID"),
    ("DELETE", "blobs/sha256:bad", 400, "DIGEST_INVALID"),
    ("GET", "blobs/latest", 400, "DIGEST_INVALID"),
    ("GET", f"manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
    ("GET", "manifests/absent", 404, "MANIFEST_UNKNOWN"),
    ("GET", "manifests/.INVALID", 404, "MANIFEST_UNKNOWN"),
    ("DELETE", f"manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
    ("DELETE", "manifests/absent", 404, "MANIFEST_UNKNOWN"),
    ("DELETE", "manifests/.INVALID", 404, "MANIFEST_UNKNOWN"),
    ("DELETE", "manifests/sha256:bad", 400, "DIGEST_INVALID"),
    ("PUT", "manifests/v1", 400, "MANIFEST_INVALID"),
    ("PUT", "manifests/.INVALID", 400, "TAG_INVALID"),
    ("PUT", "manifests/sha256:bad", 400, "DIGEST_INVALID"),
    ("POST", "blobs/uploads/?digest=sha256:bad", 400, "DIGEST_INVALID"),
    ("POST", f"blobs/uploads/?digest={ABSENT}", 400, "DIGEST_INVALID"),
    ("POST", "blobs/uploads/?mount=bad", 400, "DIGEST_INVALID"),
    ("POST", "blobs/uploads/?digest-algorithm=md5", 400, "DIGEST_INVALID"),
    ("GET", "blobs/uploads/unknown", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PATCH", "blobs/uploads/unknown", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PUT", f"blobs/uploads/unknown?digest={ABSENT}", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("DELETE", "blobs/uploads/unknown", 404, "BLOB_UPLOAD_UNKNOWN"),
    (
        "GET",
        "blobs/uploads/11111111-2222-3333-4444-555555555555",
        404,
        "BLOB_UPLOAD_UNKNOWN",
    ),
    ("GET", "tags/list", 404, "NAME_UNKNOWN"),
    ("GET", "tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET", "referrers/sha256:bad", 400, "DIGEST_INVALID"),
    ("GET", "referrers/latest", 400, "DIGEST_INVALID"),
]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"), FAILURES, ids=[f"{row[0]} {row[1]}" for row in FAILURES]
)
def test_failure(repository: Repository, method: str, path: str, status: int, code: str) -> None:
    """Each failure has its status, its code and a sentence."""
    body = b"" if method in {"PUT", "PATCH", "POST"} else None

    answer = repository.wire.request(method, f"{repository.path}/{path}", body=body)

    assert_error(answer, status, code)
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


BLOB_METHODS = {"GET", "HEAD", "DELETE"}
MANIFEST_METHODS = {"GET", "HEAD", "PUT", "DELETE"}
SESSION_METHODS = {"GET", "PATCH", "PUT", "DELETE"}
EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

# (path below /v2/, the methods that it has)
ROUTES = [
    ("", {"GET", "HEAD"}),
    ("_catalog", {"GET", "HEAD"}),
    ("{name}/tags/list", {"GET", "HEAD"}),
    (f"{{name}}/referrers/{ABSENT}", {"GET", "HEAD"}),
    (f"{{name}}/blobs/{ABSENT}", BLOB_METHODS),
    ("{name}/manifests/v1", MANIFEST_METHODS),
    (f"{{name}}/manifests/{ABSENT}", MANIFEST_METHODS),
    ("{name}/blobs/uploads/", {"POST"}),
    ("{name}/blobs/uploads", {"POST"}),
    ("{name}/blobs/uploads/unknown", SESSION_METHODS),
]


@pytest.mark.parametrize(("path", "methods"), ROUTES, ids=[row[0] or "ping" for row in ROUTES])
@pytest.mark.parametrize("method", [*EVERY_METHOD, "TRACE", "PROPFIND", "get"])
def test_method(repository: Repository, path: str, methods: set[str], method: str) -> None:
    """A method that an address does not have is a 405 that lists those that it has."""
    has_body = method in {"POST", "PUT", "PATCH"}
    answer = repository.wire.request(
        method, "/v2/" + path.format(name=repository.name), body=b"" if has_body else None
    )

    # The session's status by HEAD is a convenience that a registry may have or not.
    optional = {"HEAD"} if methods is SESSION_METHODS else set()
    if method in methods:
        assert answer.status != 405, answer
    elif method not in optional and method in EVERY_METHOD:
        assert answer.status == 405, answer
        allowed = set(answer.headers["Allow"].replace(" ", "").split(","))
        assert methods <= allowed
        assert allowed - methods <= {"HEAD", "OPTIONS"}
        if method != "HEAD":
            assert_error(answer, 405, "UNSUPPORTED")
    elif method not in EVERY_METHOD:
        assert answer.status in {400, 405, 501}, answer


def test_options_needs_no_login(repository: Repository) -> None:
    """A browser's preflight is not asked for credentials."""
    answer = repository.wire.request("OPTIONS", repository.path + "/tags/list")

    assert answer.status in {200, 204, 404, 405}


def test_deletes_switched_off(undeletable_registry: RunningRegistry, name: str) -> None:
    """With deletes off, tags, manifests and blobs are a 405 and stay; sessions can be cancelled."""
    with Wire(f"http://{undeletable_registry.host}") as wire:
        repository = Repository(wire, name)
        image = random_image()
        repository.push_image(image, "v1")

        assert_error(repository.delete_manifest("v1"), 405, "UNSUPPORTED")
        assert_error(repository.delete_manifest(image.manifest), 405, "UNSUPPORTED")
        assert_error(repository.delete_blob(image.config), 405, "UNSUPPORTED")

        assert repository.get_manifest("v1").status == 200
        assert repository.get_manifest(image.manifest).status == 200
        assert repository.get_blob(image.config).status == 200
        assert wire.delete(repository.open()).status == 204


def test_delete_by_digest_takes_the_tags(repository: Repository) -> None:
    """A manifest takes its tags along, and only its own; its blobs stay."""
    image = random_image()
    repository.push_image(image, "v1")
    repository.push_manifest(image.manifest, "v2")
    repository.push_manifest(index([]), "other")

    assert repository.delete_manifest(image.manifest).status == 202

    for reference in ("v1", "v2", image.manifest.digest):
        assert_error(repository.get_manifest(reference), 404, "MANIFEST_UNKNOWN")
    assert repository.tags().json() == {"name": repository.name, "tags": ["other"]}
    assert repository.get_blob(image.config).status == 200
    assert_error(repository.delete_manifest(image.manifest), 404, "MANIFEST_UNKNOWN")


def test_delete_and_push_again(repository: Repository) -> None:
    """What was deleted can be pushed again and is there again at once."""
    image = random_image()
    for _ in range(3):
        repository.push_image(image, "v1")
        assert repository.get_manifest("v1").body == image.manifest.payload
        assert repository.get_blob(image.config).status == 200
        assert repository.delete_manifest(image.manifest).status == 202
        assert repository.delete_blob(image.config).status == 202
        assert repository.head_manifest("v1").status == 404
        assert repository.head_blob(image.config).status == 404


def test_delete_a_child_of_an_index(repository: Repository) -> None:
    """A child may go before its index, and its index before it."""
    child = random_image()
    repository.push_image(child)
    parent = index([child.manifest.descriptor()])
    repository.push_manifest(parent, "v1")

    assert repository.delete_manifest(child.manifest).status == 202
    assert repository.get_manifest("v1").body == parent.payload
    assert repository.delete_manifest(parent).status == 202


def test_delete_from_one_repository_only(repository: Repository) -> None:
    """A blob or manifest that is deleted here stays there."""
    other = repository.sibling("other")
    image = random_image()
    repository.push_image(image, "v1")
    other.push_image(image, "v1")

    assert repository.delete_manifest(image.manifest).status == 202
    assert repository.delete_blob(image.config).status == 202

    assert other.get_manifest("v1").status == 200
    assert other.get_blob(image.config).status == 200


def test_deletes_are_seen_by_other_connections(
    repository: Repository, registry: RunningRegistry
) -> None:
    """Another client sees a push and a delete as soon as they are answered."""
    blob = random_blob()
    with Wire(f"http://{registry.host}") as wire:
        elsewhere = Repository(wire, repository.name)
        for _ in range(10):
            repository.push_blob(blob)
            assert elsewhere.head_blob(blob).status == 200
            assert repository.delete_blob(blob).status == 202
            assert elsewhere.head_blob(blob).status == 404
