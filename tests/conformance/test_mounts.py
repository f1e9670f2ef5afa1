# SPDX-License-Identifier: Apache-2.0
"""Blobs that are not sent twice (end-11), and two digest algorithms side by side (end-4c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import ALGORITHMS, assert_error, assert_pullable, question
from tests.support.images import Content, random_blob

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository

MOUNTS = [
    # (source, expected)
    ("{source}", 201),
    ("{target}", 202),
    ("no/such/repository", 202),
    ("UPPER/CASE", 202),
    ("../../etc", 202),
    ("", 201),
]


@pytest.mark.parametrize(("source", "status"), MOUNTS)
def test_mount_source(repository: Repository, source: str, status: int) -> None:
    """A source that has the blob mounts it; any other, however strange, opens a session."""
    other = repository.sibling("source")
    blob = random_blob()
    other.push_blob(blob)

    answer = repository.mount(blob, source.format(source=other.name, target=repository.name))

    assert answer.status == status, answer
    if status == 201:
        assert answer.location == repository.blob_path(blob)
        assert_pullable(repository, blob)
    else:
        assert answer.location.startswith(repository.uploads)
        assert answer.headers["Range"] == "0-0"
        assert repository.head_blob(blob).status == 404


def test_mount_into_itself(repository: Repository) -> None:
    """A blob that the repository already has is mounted, named source or none."""
    blob = random_blob()
    repository.push_blob(blob)

    for source in (repository.name, repository.sibling("none").name, None):
        answer = repository.mount(blob, source)
        assert (answer.status, answer.location) == (201, repository.blob_path(blob))


@pytest.mark.parametrize("digest", ["", "sha256:short", "latest", "sha256:" + "A" * 64])
def test_mount_bad_digest(repository: Repository, digest: str) -> None:
    """A mount of what is no digest is a 400."""
    answer = repository.mount(digest, repository.sibling("source").name)

    assert_error(answer, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("declared", ALGORITHMS)
@pytest.mark.parametrize("used", ALGORITHMS)
def test_digest_algorithm_hint(repository: Repository, declared: str, used: str) -> None:
    """The hint is a hint: a session closes with either algorithm."""
    blob = Content(random_blob(2000).payload, algorithm=used)
    opened = repository.wire.post(repository.uploads + question({"digest-algorithm": declared}))
    assert opened.status == 202, opened

    location = repository.chunk(opened.location, blob.payload[:1000], 0).location
    location = repository.chunk(location, blob.payload[1000:], 1000).location

    assert repository.close(location, blob.digest).status == 201
    assert_pullable(repository, blob)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "nonsense", "SHA256", "sha256;", "../etc"])
def test_unknown_digest_algorithm(repository: Repository, algorithm: str) -> None:
    """A hint at an algorithm that the registry does not have is refused at once."""
    answer = repository.wire.post(repository.uploads + question({"digest-algorithm": algorithm}))

    assert_error(answer, 400, "DIGEST_INVALID")


def test_two_algorithms_two_objects(repository: Repository) -> None:
    """The same bytes under two digests are two blobs; deleting one leaves the other."""
    first = random_blob()
    second = Content(first.payload, algorithm="sha512")
    repository.push_blob(first)
    assert repository.head_blob(second).status == 404
    repository.push_blob(second)

    assert repository.delete_blob(first).status == 202

    assert repository.head_blob(first).status == 404
    assert_pullable(repository, second)
