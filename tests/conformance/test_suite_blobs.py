# SPDX-License-Identifier: Apache-2.0
"""The new OCI suite's rows about blobs, for both digest algorithms, version `dev`, nothing skipped.

The id of each test is the suite's own name of the row.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.conformance.push_ways import THREE_CHUNKS, WAYS, chunked_and_put_chunk
from tests.conformance.verbs import ALGORITHMS, assert_error, assert_pullable
from tests.support.images import Content

if TYPE_CHECKING:
    from tests.conformance.push_ways import Way
    from tests.conformance.verbs import Repository

both_algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS, ids="{} blobs".format)

WRONG_DIGEST: dict[str, Way] = {
    "bad digest post only": WAYS["post only"][0],
    "bad digest post+put": WAYS["post+put"][0],
    "bad digest chunked": WAYS["chunked multi"][0],
    "bad digest chunked and put chunk": chunked_and_put_chunk,
    "bad digest stream": WAYS["stream"][0],
}

KNOWN_CONTENTS = {"empty": b"", "emptyJSON": b"{}"}

# (what is asked, the bytes of a 2048-byte blob that come back, or None for a 416)
RANGES = [
    ("500-1499", slice(500, 1500)),
    ("500-", slice(500, 2048)),
    ("-500", slice(1548, 2048)),
    ("2000-5000", slice(2000, 2048)),
    ("500-0", None),
    ("5000-10000", None),
]


def blob_of(algorithm: str, size: int) -> Content:
    """Some new bytes, known by this algorithm's digest."""
    return Content(os.urandom(size), algorithm=algorithm)


def assert_deletable(repository: Repository, blob: Content) -> None:
    """A delete is accepted and seen at once."""
    deleted = repository.delete_blob(blob)
    assert deleted.status == 202, deleted
    assert repository.head_blob(blob).status == 404
    assert repository.get_blob(blob).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"], ids=["get-missing", "head-missing"])
@both_algorithms
def test_missing_blob(repository: Repository, algorithm: str, method: str) -> None:
    """A blob that nobody pushed is a 404."""
    answer = repository.wire.request(method, repository.blob_path(blob_of(algorithm, 512)))

    assert answer.status == 404


@pytest.mark.parametrize("row", WAYS)
@both_algorithms
def test_push(repository: Repository, algorithm: str, row: str) -> None:
    """A blob pushed in any way can be had by HEAD and GET, and deleted."""
    way, size = WAYS[row]
    blob = blob_of(algorithm, size)

    pushed = way(repository, blob.payload, blob.digest)

    assert pushed.status == 201, pushed
    assert pushed.headers["Docker-Content-Digest"] == blob.digest
    assert repository.wire.get(pushed.location).body == blob.payload
    assert_pullable(repository, blob)
    assert_deletable(repository, blob)


@pytest.mark.parametrize("row", WRONG_DIGEST)
@both_algorithms
def test_wrong_digest(repository: Repository, algorithm: str, row: str) -> None:
    """Bytes that do not hash to the digest are refused, and not there afterwards."""
    blob = blob_of(algorithm, THREE_CHUNKS)

    refused = WRONG_DIGEST[row](repository, blob.payload + b"oh no", blob.digest)

    assert_error(refused, 400, "DIGEST_INVALID")
    assert repository.head_blob(blob).status == 404


@pytest.mark.parametrize("row", KNOWN_CONTENTS)
@pytest.mark.parametrize("way", ["post only", "post+put", "stream", "chunked multi"])
@both_algorithms
def test_known_content(repository: Repository, algorithm: str, row: str, way: str) -> None:
    """The zero-byte blob and the empty JSON object are blobs like any other."""
    blob = Content(KNOWN_CONTENTS[row], algorithm=algorithm)

    pushed = WAYS[way][0](repository, blob.payload, blob.digest)

    assert pushed.status == 201, pushed
    assert_pullable(repository, blob)
    assert_deletable(repository, blob)


@pytest.mark.parametrize("row", ["mount", "mount anonymous"])
@both_algorithms
def test_mount(repository: Repository, algorithm: str, row: str) -> None:
    """A blob of another repository is mounted at once, named or found."""
    source = repository.sibling("source")
    blob = blob_of(algorithm, 512)
    source.push_blob(blob)

    mounted = repository.mount(blob, source.name if row == "mount" else None)

    assert mounted.status == 201, mounted
    assert mounted.location == repository.blob_path(blob)
    assert mounted.headers["Docker-Content-Digest"] == blob.digest
    assert_pullable(repository, blob)
    assert_deletable(repository, blob)
    assert_deletable(source, blob)


@pytest.mark.parametrize("named", [True, False], ids=["mount missing", "mount anonymous missing"])
@both_algorithms
def test_mount_missing(repository: Repository, algorithm: str, named: object) -> None:
    """A mount of a blob that is not there opens a session, which then works."""
    blob = blob_of(algorithm, 512)

    answer = repository.mount(blob, repository.sibling("source").name if named else None)

    assert answer.status == 202, answer
    assert repository.close(answer.location, blob.digest, body=blob.payload).status == 201
    assert_pullable(repository, blob)


@pytest.mark.parametrize("sent", [0, 512], ids=["post cancel", "post cancel after patch"])
@both_algorithms
def test_cancel(repository: Repository, algorithm: str, sent: int) -> None:
    """A cancelled session is gone, and so are its bytes."""
    blob = blob_of(algorithm, 512)
    location = repository.open()
    if sent:
        location = repository.patch(location, blob.payload).location

    cancelled = repository.wire.delete(location)

    assert (cancelled.status, cancelled.body) == (204, b""), cancelled
    assert_error(repository.wire.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_error(repository.wire.delete(location), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_error(repository.patch(location, b"x"), 404, "BLOB_UPLOAD_UNKNOWN")
    assert repository.head_blob(blob).status == 404


@pytest.mark.parametrize(
    ("asked", "expected"), RANGES, ids=[f"range requests/range {asked}" for asked, _ in RANGES]
)
@both_algorithms
def test_range(repository: Repository, algorithm: str, asked: str, expected: slice | None) -> None:
    """A range is answered by exactly those bytes, or by 416; never by the whole blob."""
    blob = blob_of(algorithm, 2048)
    repository.push_blob(blob)

    answer = repository.get_blob(blob, ("Range", f"bytes={asked}"))

    if expected is None:
        assert_error(answer, 416, "RANGE_INVALID")
        assert answer.headers["Content-Range"] == "bytes */2048"
    else:
        assert answer.status == 206, answer
        assert answer.body == blob.payload[expected]
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert answer.headers["Content-Range"] == f"bytes {expected.start}-{expected.stop - 1}/2048"
