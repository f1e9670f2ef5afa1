# SPDX-License-Identifier: Apache-2.0
"""Upload sessions beyond the suites: headers, chunk arithmetic, stale addresses, hints, mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import (
    OCTETS,
    Repository,
    assert_error,
    assert_pullable,
    span,
)
from tests.support.images import Content, digest_of, random_blob, with_digest
from tests.support.wire import Wire

if TYPE_CHECKING:
    from tests.support.wire import Answer, Header

EMPTY = digest_of(b"")


def assert_session(repository: Repository, answer: Answer, offset: int) -> None:
    """The headers of every answer about a session: where it is, and how far."""
    assert answer.location.startswith(repository.uploads)
    assert "?" not in answer.location
    assert answer.headers["Range"] == f"0-{max(offset - 1, 0)}"
    assert answer.headers["Docker-Upload-UUID"] == answer.location.rpartition("/")[2]
    assert answer.headers.get("Content-Length") == (None if answer.status == 204 else "0")
    assert answer.body == b""


@pytest.mark.parametrize("slash", ["", "/"], ids=["without slash", "with slash"])
@pytest.mark.parametrize(
    "headers",
    [[], [("Content-Type", "application/json")], [("Content-Type", "text/plain; charset=utf-8")]],
    ids=["no type", "json", "text"],
)
def test_open(repository: Repository, slash: str, headers: list[Header]) -> None:
    """POST opens a session, with or without the last slash and whatever type is claimed."""
    answer = repository.wire.post(repository.uploads.rstrip("/") + slash, *headers)

    assert answer.status == 202, answer
    assert_session(repository, answer, 0)


def test_life_of_a_session(repository: Repository) -> None:
    """Every answer tells the offset, and the first address stays good to the end."""
    blob = random_blob(3000)
    location = repository.open()

    for first in range(0, 3000, 1000):
        status = repository.wire.get(location)
        assert status.status == 204
        assert_session(repository, status, first)
        sent = repository.chunk(location, blob.payload[first : first + 1000], first)
        assert sent.status == 202
        assert_session(repository, sent, first + 1000)
    closed = repository.close(location, blob.digest)

    assert closed.status == 201, closed
    assert closed.location == repository.blob_path(blob)
    assert closed.headers["Content-Length"] == "0"
    assert_pullable(repository, blob)
    assert_error(repository.wire.get(location), 404, "BLOB_UPLOAD_UNKNOWN")


# Content-Range of ten bytes at offset 100.
FITTING = ["100-109", "bytes 100-109", "bytes 100-109/*", "bytes 100-109/500"]
ELSEWHERE = ["0-9", "99-108", "101-110", "1000-1009"]
WRONG = [
    "100-108",
    "100-110",
    "109-100",
    "100",
    "100-",
    "-109",
    "a-b",
    "100-109-118",
    "0x64-0x6d",
    "100-99999999999999999999999999",
    "items 100-109",
]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("content_range", FITTING)
def test_fitting_chunk(repository: Repository, method: str, content_range: str) -> None:
    """A chunk at the offset is taken, in the specification's notation and in HTTP's."""
    blob = random_blob(110)
    location = repository.chunk(repository.open(), blob.payload[:100], 0).location

    answer = send_tail(repository, method, location, blob, content_range)

    assert answer.status == (202 if method == "PATCH" else 201), answer
    if method == "PATCH":
        assert_session(repository, answer, 110)
        assert repository.close(location, blob.digest).status == 201
    assert_pullable(repository, blob)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("content_range", [*ELSEWHERE, *WRONG])
def test_refused_chunk(repository: Repository, method: str, content_range: str) -> None:
    """A chunk for elsewhere or with a false length is refused, and the session goes on."""
    blob = random_blob(110)
    location = repository.chunk(repository.open(), blob.payload[:100], 0).location

    refused = send_tail(repository, method, location, blob, content_range)

    assert refused.status in ({416} if content_range in ELSEWHERE else {400, 416}), refused
    assert set(refused.error_codes()) <= {"RANGE_INVALID", "SIZE_INVALID"}
    if refused.status == 416:
        assert refused.location == location
        assert refused.headers["Range"] == "0-99"
        assert refused.headers["Docker-Upload-UUID"] == location.rpartition("/")[2]
    assert repository.wire.get(location).headers["Range"] == "0-99"
    assert repository.chunk(location, blob.payload[100:], 100).status == 202
    assert repository.close(location, blob.digest).status == 201
    assert_pullable(repository, blob)


def send_tail(
    repository: Repository, method: str, location: str, blob: Content, content_range: str
) -> Answer:
    """The last ten bytes of the blob, in a PATCH or in the closing PUT."""
    target = location if method == "PATCH" else with_digest(location, blob.digest)
    headers = [OCTETS, ("Content-Range", content_range)]
    return repository.wire.request(method, target, body=blob.payload[100:], headers=headers)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_content_range_without_length(repository: Repository, method: str) -> None:
    """A Content-Range counts also when the body comes chunked, its length untold."""
    blob = random_blob(100)
    location = repository.open()
    target = location if method == "PATCH" else with_digest(location, blob.digest)

    refused = repository.wire.request(
        method, target, body=blob.payload, headers=[OCTETS, span(5, 100)], chunked=True
    )

    assert refused.status == 416, refused
    assert repository.wire.get(location).headers["Range"] == "0-0"
    accepted = repository.wire.request(
        method, target, body=blob.payload, headers=[OCTETS, span(0, 100)], chunked=True
    )
    assert accepted.status == (202 if method == "PATCH" else 201), accepted


def test_mixed_forms(repository: Repository) -> None:
    """Streams and chunks may follow each other, the rest may come in the PUT."""
    blob = random_blob(400)
    location = repository.open()

    assert repository.patch(location, blob.payload[:100], chunked=True).status == 202
    assert repository.chunk(location, blob.payload[100:200], 100).status == 202
    assert repository.patch(location, blob.payload[200:300]).status == 202
    assert repository.close(location, blob.digest, body=blob.payload[300:]).status == 201

    assert_pullable(repository, blob)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with length"])
def test_empty_patch(repository: Repository, chunked: object) -> None:
    """A PATCH with nothing in it is accepted and changes nothing."""
    location = repository.open()

    answer = repository.patch(location, b"", chunked=bool(chunked))

    assert answer.status == 202, answer
    assert_session(repository, answer, 0)
    assert repository.close(location, EMPTY).status == 201


def test_put_empty_blob_chunked(repository: Repository) -> None:
    """Containerd pushes the empty blob by a chunked PUT with nothing in it."""
    target = with_digest(repository.open(), EMPTY)

    assert repository.wire.request("PUT", target, body=b"", chunked=True).status == 201
    assert_pullable(repository, Content(b""))


def test_post_empty_blob(repository: Repository) -> None:
    """The empty blob fits into the POST."""
    answer = repository.wire.post(f"{repository.uploads}?digest={EMPTY}", OCTETS)

    assert answer.status == 201, answer
    assert_pullable(repository, Content(b""))


@pytest.mark.parametrize(
    "query", ["", "?digest=", "?digest=sha256:short", "?digest=md5:" + "a" * 32]
)
def test_close_without_digest(repository: Repository, query: str) -> None:
    """A PUT without a usable digest is refused."""
    location = repository.patch(repository.open(), b"bytes").location

    assert_error(repository.wire.put(location + query, OCTETS), 400, "DIGEST_INVALID")


def test_wrong_digest_ends_nothing_else(repository: Repository) -> None:
    """After a mismatch neither digest is there, and a new session works."""
    blob, other = random_blob(), random_blob()

    refused = repository.close(repository.open(), other.digest, body=blob.payload)

    assert_error(refused, 400, "DIGEST_INVALID")
    assert repository.head_blob(blob).status == 404
    assert repository.head_blob(other).status == 404
    repository.push_blob(blob)
    assert_pullable(repository, blob)


def test_repeated_close(repository: Repository) -> None:
    """A PUT that is repeated because its 201 was lost is a 201 again."""
    blob = random_blob()
    location = repository.open()
    assert repository.close(location, blob.digest, body=blob.payload).status == 201

    again = repository.close(location, blob.digest, body=blob.payload)

    assert again.status == 201, again
    assert again.location == repository.blob_path(blob)
    assert_error(repository.close(location, EMPTY), 404, "BLOB_UPLOAD_UNKNOWN")


def test_session_belongs_to_its_repository(repository: Repository) -> None:
    """The same session id under another repository is unknown there."""
    location = repository.open()
    stranger = repository.sibling("other")
    moved = stranger.uploads + location.rpartition("/")[2]

    assert_error(repository.wire.get(moved), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_error(stranger.patch(moved, b"bytes"), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_error(stranger.close(moved, EMPTY), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_error(repository.wire.delete(moved), 404, "BLOB_UPLOAD_UNKNOWN")
    assert repository.wire.get(location).status == 204


def test_one_blob_from_many_sessions(repository: Repository) -> None:
    """Two sessions that end in the same blob both succeed."""
    blob = random_blob()
    locations = [repository.patch(repository.open(), blob.payload).location for _ in range(3)]

    for location in locations:
        assert repository.close(location, blob.digest).status == 201
    assert_pullable(repository, blob)


def test_blob_stays_in_its_repository(repository: Repository) -> None:
    """A blob can be read where it was pushed, and not elsewhere."""
    blob = random_blob()
    repository.push_blob(blob)

    assert repository.sibling("other").head_blob(blob).status == 404
    assert repository.sibling("other").get_blob(blob).status == 404


def test_interrupted_body(repository: Repository) -> None:
    """After a connection that broke in a PATCH the session tells the truth and can be finished."""
    blob = random_blob(50_000)
    location = repository.open()

    def cut() -> object:
        yield blob.payload[:30_000]
        raise ConnectionAbortedError

    with Wire(repository.wire.base_url) as broken, pytest.raises(ConnectionAbortedError):
        Repository(broken, repository.name).patch(location, cut())  # type: ignore[arg-type]

    for _ in range(200):
        offset = offset_of(repository.wire.get(location))
        if repository.chunk(location, blob.payload[offset:], offset).status == 202:
            break
    assert repository.close(location, blob.digest).status == 201
    assert_pullable(repository, blob)


def offset_of(status: Answer) -> int:
    """How many bytes the session has."""
    first, last = status.headers["Range"].split("-")
    assert first == "0"
    return int(last) + 1 if int(last) else 0
