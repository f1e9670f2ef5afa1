# SPDX-License-Identifier: Apache-2.0
"""Conditional requests (ETag, If-None-Match, If-Match) and that HEAD says what GET says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import ACCEPT, assert_error, lasting, tags_of
from tests.support.images import Content, Image, digest_of, random_blob, random_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.verbs import Repository

OTHER = digest_of(b"something else")
ABSENT = digest_of(b"never pushed")
KINDS = ["blob", "manifest by tag", "manifest by digest"]


@pytest.fixture
def paths(repository: Repository) -> dict[str, tuple[str, str]]:
    """Address and digest of a blob and of a manifest, by tag and by digest."""
    image = random_image()
    repository.push_image(image, "v1")
    blob, manifest = image.layers[0], image.manifest
    return {
        "blob": (repository.blob_path(blob), blob.digest),
        "manifest by tag": (repository.manifest_path("v1"), manifest.digest),
        "manifest by digest": (repository.manifest_path(manifest), manifest.digest),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_etag(repository: Repository, paths: dict[str, tuple[str, str]], kind: str) -> None:
    """The entity tag is the quoted digest."""
    path, digest = paths[kind]

    assert repository.wire.get(path, *ACCEPT).headers["ETag"] == f'"{digest}"'


# ({digest} stands for the right one, is it still the same?)
NONE_MATCH = [
    ('"{digest}"', True),
    ('W/"{digest}"', True),
    ("*", True),
    (f'"{OTHER}", "{{digest}}"', True),
    (f'"{OTHER}"', False),
    ('"{digest}x"', False),
    ("", False),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("validator", "same"), NONE_MATCH)
def test_if_none_match(
    repository: Repository,
    paths: dict[str, tuple[str, str]],
    kind: str,
    method: str,
    validator: str,
    same: object,
) -> None:
    """What the client already has is answered by 304 without a body, everything else by 200."""
    path, digest = paths[kind]
    condition = ("If-None-Match", validator.format(digest=digest))

    answer = repository.wire.request(method, path, headers=[*ACCEPT, condition])

    assert answer.status == (304 if same else 200), answer
    if same:
        assert answer.body == b""
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers.get("Content-Length") in (None, "0")


def test_connection_survives_304(repository: Repository, paths: dict[str, tuple[str, str]]) -> None:
    """After a 304 the same connection serves the next request."""
    path, digest = paths["blob"]
    for _ in range(3):
        assert repository.wire.get(path, ("If-None-Match", f'"{digest}"')).status == 304
        assert repository.wire.get(path).status == 200


def test_condition_on_nothing(repository: Repository) -> None:
    """A condition does not hide that something is missing."""
    missing = random_blob()

    for validator in ("*", f'"{missing.digest}"'):
        condition = ("If-None-Match", validator)
        assert repository.get_blob(missing, condition).status == 404
        assert repository.get_manifest("v1", condition).status == 404


def test_tags_are_not_cached(repository: Repository, paths: dict[str, tuple[str, str]]) -> None:
    """A blob may be kept for ever; a tag must be asked for again each time."""
    blob = repository.wire.get(paths["blob"][0]).headers["Cache-Control"]
    tag = repository.wire.get(paths["manifest by tag"][0], *ACCEPT).headers.get("Cache-Control")

    assert "max-age=31536000" in blob
    assert tag is None or "no-cache" in tag or "no-store" in tag or "max-age=0" in tag


# What is asked for: both methods must answer alike, good or bad.
PARITY: dict[str, Callable[[Repository], str]] = {
    "ping": lambda _: "/v2/",
    "ping without slash": lambda _: "/v2",
    "blob": lambda repository: repository.blob_path(pushed(repository).layers[0]),
    "manifest by tag": lambda repository: repository.manifest_path(tagged(repository)),
    "manifest by digest": lambda repository: repository.manifest_path(pushed(repository).manifest),
    "absent blob": lambda repository: repository.blob_path(ABSENT),
    "absent manifest": lambda repository: repository.manifest_path("absent"),
    "bad digest": lambda repository: repository.blob_path("sha256:bad"),
    "no such route": lambda _: "/v2/a/b/c/d",
}


def pushed(repository: Repository) -> Image:
    """An image in the repository."""
    image = random_image()
    repository.push_image(image, "v1")
    return image


def tagged(repository: Repository) -> str:
    """A tag in the repository."""
    pushed(repository)
    return "v1"


@pytest.mark.parametrize("row", PARITY)
def test_head_is_get_without_body(repository: Repository, row: str) -> None:
    """HEAD has the status and every header of GET, the true length included, and no body."""
    path = PARITY[row](repository)

    head = repository.wire.head(path, *ACCEPT)
    got = repository.wire.get(path, *ACCEPT)

    assert head.body == b""
    assert head.status == got.status
    if got.status == 200:
        assert got.headers["Content-Length"] == str(len(got.body))
        assert lasting(head) == lasting(got)
    else:
        described = {"content-length", "content-type"}
        assert lasting(head).keys() - described == lasting(got).keys() - described


# -- conditions on a tag push: RFC 9110 section 13.1, before anything is written ---------------


def manifests(repository: Repository) -> tuple[Content, Content]:
    """Two manifests whose blobs the repository has, not pushed yet."""
    first, second = random_image(), random_image()
    for blob in (*first.blobs, *second.blobs):
        repository.push_blob(blob)
    return first.manifest, second.manifest


TAG_PUSHES = [
    # (is the tag there?, header, value, expected)
    (False, "If-None-Match", "*", 201),
    (True, "If-None-Match", "*", 412),
    (True, "If-Match", '"{current}"', 201),
    (True, "If-Match", "*", 201),
    (True, "If-Match", f'"{OTHER}"', 412),
    (True, "If-Match", f'"{OTHER}", "{{current}}"', 201),
    (False, "If-Match", "*", 412),
    (False, "If-Match", '"{current}"', 412),
    (True, "If-None-Match", '"{current}"', 412),
    (True, "If-None-Match", f'"{OTHER}"', 201),
]


@pytest.mark.parametrize(
    ("exists", "header", "value", "status"),
    TAG_PUSHES,
    ids=[f"{row[1]} {row[2]} on {'a' if row[0] else 'no'} tag" for row in TAG_PUSHES],
)
def test_conditional_tag_push(
    repository: Repository, exists: object, header: str, value: str, status: int
) -> None:
    """A tag moves only if it is where the pusher thinks it is; 412 leaves everything alone."""
    current, new = manifests(repository)
    repository.push_manifest(current, "v1" if exists else None)

    answer = repository.put_manifest(new, "v1", (header, value.format(current=current.digest)))

    assert answer.status == status, answer
    if status == 412:
        assert_error(answer, 412, "DENIED")
    now = repository.head_manifest("v1")
    if status == 201:
        assert now.headers["Docker-Content-Digest"] == new.digest
    elif exists:
        assert now.headers["Docker-Content-Digest"] == current.digest
    else:
        assert now.status == 404


def test_first_of_many_wins(repository: Repository) -> None:
    """Of several pushers that all insist on creating the tag exactly one succeeds."""
    first, second = manifests(repository)
    absent = ("If-None-Match", "*")

    statuses = [
        repository.put_manifest(manifest, "v1", absent).status
        for manifest in (first, second, first)
    ]

    assert statuses == [201, 412, 412]
    assert tags_of(repository.tags()) == ["v1"]
