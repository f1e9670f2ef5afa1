# SPDX-License-Identifier: Apache-2.0
"""Partial blobs (end-2): the range matrix, several ranges at once, If-Range, HEAD.

A range that makes no sense is never answered by some other bytes: it is either ignored as a whole
(200) or refused as a whole (416).
"""

from __future__ import annotations

import email.parser
import email.policy
from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import assert_error
from tests.support.images import Content, random_blob, random_image

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository

SIZE = 2048
LAST = SIZE - 1

# (what is asked, first, last): one range of the blob, both ends inclusive.
SINGLE = [
    ("bytes=0-0", 0, 0),
    ("bytes=0-", 0, LAST),
    (f"bytes=0-{LAST}", 0, LAST),
    (f"bytes=0-{SIZE}", 0, LAST),
    (f"bytes={LAST}-{LAST}", LAST, LAST),
    (f"bytes={LAST}-", LAST, LAST),
    ("bytes=-1", LAST, LAST),
    (f"bytes=-{SIZE}", 0, LAST),
    (f"bytes=-{SIZE + 1}", 0, LAST),
    ("bytes=0-99999999999999999999999999", 0, LAST),
    ("bytes=00500-01499", 500, 1499),
    ("BYTES=500-1499", 500, 1499),
    ("bytes= 500-1499", 500, 1499),
    ("bytes=500-1499,", 500, 1499),
]

UNSATISFIABLE = [
    f"bytes={SIZE}-",
    f"bytes={SIZE}-{SIZE}",
    "bytes=-0",
    "bytes=500-0",
    "bytes=99999999999999999999999999-",
    f"bytes={SIZE}-,{SIZE + 5}-",
]

IGNORED = [
    "",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=a-b",
    "bytes=1",
    "bytes=1-2-3",
    "bytes=--1",
    "bytes=1.5-2",
    "bytes=0x0-0x9",
    "bytes=+1-2",
    "bytes=\u0661-\u0662",
    "items=0-5",
    "0-5",
    "bytes=0-5;q=1",
    "bytes=0-1,x",
]

SEVERAL = [
    ("bytes=0-9,20-29", [(0, 9), (20, 29)]),
    ("bytes=0-9, 20-29 ,-10", [(0, 9), (20, 29), (SIZE - 10, LAST)]),
    ("bytes=20-29,0-9", [(20, 29), (0, 9)]),
    (f"bytes=0-9,{SIZE}-", [(0, 9)]),
    ("bytes=0-9,5-14", [(0, 9), (5, 14)]),
]


@pytest.fixture
def blob(repository: Repository) -> Content:
    """A blob of 2048 bytes that the repository has."""
    content = random_blob(SIZE)
    repository.push_blob(content)
    return content


@pytest.mark.parametrize(("asked", "first", "last"), SINGLE, ids=[row[0] for row in SINGLE])
def test_single(repository: Repository, blob: Content, asked: str, first: int, last: int) -> None:
    """One satisfiable range comes back exactly, clamped to the blob."""
    answer = repository.get_blob(blob, ("Range", asked))

    assert answer.status == 206, answer
    assert answer.body == blob.payload[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["Docker-Content-Digest"] == blob.digest
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("asked", UNSATISFIABLE)
def test_unsatisfiable(repository: Repository, blob: Content, asked: str) -> None:
    """A range beyond the blob, or one that ends before it begins, is a 416 with the size."""
    answer = repository.get_blob(blob, ("Range", asked))

    assert_error(answer, 416, "RANGE_INVALID")
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", IGNORED)
def test_ignored(repository: Repository, blob: Content, asked: str) -> None:
    """What is no byte range is ignored: the whole blob."""
    answer = repository.wire.request(
        "GET",
        repository.blob_path(blob),
        headers=[("Range", asked.encode().decode("latin-1"))],
    )

    assert answer.status == 200, answer
    assert answer.body == blob.payload


@pytest.mark.parametrize(("asked", "expected"), SEVERAL, ids=[row[0] for row in SEVERAL])
def test_several(
    repository: Repository, blob: Content, asked: str, expected: list[tuple[int, int]]
) -> None:
    """Several ranges come back as parts, each with its own Content-Range; one alone as itself."""
    answer = repository.get_blob(blob, ("Range", asked))

    assert answer.status == 206, answer
    assert answer.headers["Content-Length"] == str(len(answer.body))
    if len(expected) == 1:
        ((first, last),) = expected
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
        assert answer.body == blob.payload[first : last + 1]
    else:
        assert "Content-Range" not in answer.headers
        parts = [(f"bytes {a}-{b}/{SIZE}", blob.payload[a : b + 1]) for a, b in expected]
        assert parts_of(answer.headers["Content-Type"], answer.body) == parts


def parts_of(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Content-Range and bytes of each part of a multipart/byteranges body."""
    assert content_type.startswith("multipart/byteranges; boundary="), content_type
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    boundary = message.get_boundary()
    assert boundary is not None
    pieces = body.split(f"--{boundary}".encode())
    assert pieces[-1].strip() == b"--"
    found = []
    for piece in pieces[1:-1]:
        header, _, payload = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = email.parser.BytesHeaderParser().parsebytes(header)
        assert fields["Content-Type"] == "application/octet-stream"
        found.append((str(fields["Content-Range"]), payload.removesuffix(b"\r\n")))
    return found


def test_too_many(repository: Repository, blob: Content) -> None:
    """64 ranges are answered as 64 parts; hundreds are answered by the whole blob."""
    many = ",".join(f"{number * 2}-{number * 2}" for number in range(64))
    answer = repository.get_blob(blob, ("Range", f"bytes={many}"))
    assert answer.status == 206, answer
    assert len(parts_of(answer.headers["Content-Type"], answer.body)) == 64

    too_many = ",".join(f"{number * 2}-{number * 2}" for number in range(500))
    answer = repository.get_blob(blob, ("Range", f"bytes={too_many}"))
    assert (answer.status, answer.body) == (200, blob.payload)


@pytest.mark.parametrize(
    ("validator", "status"),
    [
        ("{etag}", 206),
        ('"sha256:other"', 200),
        ("W/{etag}", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ],
    ids=["same", "other", "weak", "date"],
)
def test_if_range(repository: Repository, blob: Content, validator: str, status: int) -> None:
    """A range is given only of the very content that the client has a part of."""
    etag = repository.head_blob(blob).headers["ETag"]

    answer = repository.get_blob(
        blob, ("Range", "bytes=0-9"), ("If-Range", validator.format(etag=etag))
    )

    assert answer.status == status, answer
    assert answer.body == (blob.payload[:10] if status == 206 else blob.payload)


def test_head_ignores_range(repository: Repository, blob: Content) -> None:
    """HEAD with a range describes the whole blob."""
    answer = repository.head_blob(blob, ("Range", "bytes=0-9"))

    assert (answer.status, answer.headers["Content-Length"]) == (200, str(SIZE))


@pytest.mark.parametrize("asked", ["bytes=0-0", "bytes=0-", "bytes=-5", None])
def test_empty_blob(repository: Repository, asked: str | None) -> None:
    """The empty blob comes back whole, for some clients send a range with every request."""
    empty = Content(b"")
    repository.push_blob(empty)

    answer = repository.get_blob(empty, *([] if asked is None else [("Range", asked)]))

    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


def test_range_of_a_missing_blob(repository: Repository) -> None:
    """A range of what is not there is a 404, not a 416."""
    assert repository.get_blob(random_blob(), ("Range", "bytes=9-1")).status == 404


def test_manifests_have_no_ranges(repository: Repository) -> None:
    """A manifest is always whole, whatever range is asked for."""
    image = random_image()
    repository.push_image(image, "v1")

    answer = repository.get_manifest("v1", ("Range", "bytes=0-9"))

    assert (answer.status, answer.body) == (200, image.manifest.payload)
