# SPDX-License-Identifier: Apache-2.0
"""Bodies that do not end where they say: smuggling, truncation, overlong bodies, broken chunks.

The danger is a second request that only one of two servers in a row can see. So every ambiguous
message must be refused with the connection closed, and nothing after it may be taken for a request.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import OCTETS, assert_pullable
from tests.hostile.victim import assert_civil
from tests.support.images import Content, random_blob, with_digest
from tests.support.raw import Closed, request_bytes

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository
    from tests.hostile.victim import Victim
    from tests.support.wire import Answer

# The request that an attacker hopes to get through; its answer would have this header.
SMUGGLED = b"GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ZERO = b"0\r\n\r\n"

AMBIGUOUS: dict[str, bytes] = {
    "length and chunked": b"Content-Length: 5\r\n" + CHUNKED + b"\r\n" + ZERO,
    "chunked and length": CHUNKED + b"Content-Length: 5\r\n\r\n" + ZERO,
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a list of lengths": b"Content-Length: 5, 6\r\n\r\nhello",
    "negative length": b"Content-Length: -5\r\n\r\nhello",
    "signed length": b"Content-Length: +5\r\n\r\nhello",
    "hexadecimal length": b"Content-Length: 0x5\r\n\r\nhello",
    "length in words": b"Content-Length: five\r\n\r\nhello",
    "empty length": b"Content-Length:\r\n\r\nhello",
    "underscore in length": b"Content-Length: 1_0\r\n\r\nhello",
    "Unicode digits": "Content-Length: \u0665\r\n\r\nhello".encode(),
    "length beyond 64 bits": b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "space before the colon": b"Content-Length : 5\r\n\r\nhello",
    "tab before the colon": b"Transfer-Encoding\t: chunked\r\n\r\n" + ZERO,
    "folded header": b"X-Folded: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "folded encoding": b"Transfer-Encoding:\r\n chunked\r\n\r\n" + ZERO,
    "unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n" + ZERO,
    "encoding after chunked": b"Transfer-Encoding: chunked, gzip\r\n\r\n" + ZERO,
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n" + ZERO,
    "two encodings": CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + ZERO,
    "quoted encoding": b'Transfer-Encoding: "chunked"\r\n\r\n' + ZERO,
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n" + ZERO,
    "no name": b": value\r\nContent-Length: 5\r\n\r\nhello",
    "no colon": b"nonsense\r\nContent-Length: 5\r\n\r\nhello",
    "NUL in a value": b"X: a\x00b\r\nContent-Length: 5\r\n\r\nhello",
    "bare CR in a value": b"X: a\rContent-Length: 5\r\n\r\nhello",
    "negative chunk": CHUNKED + b"\r\n-5\r\nhello\r\n" + ZERO,
    "signed chunk": CHUNKED + b"\r\n+5\r\nhello\r\n" + ZERO,
    "chunk with 0x": CHUNKED + b"\r\n0x5\r\nhello\r\n" + ZERO,
    "chunk beyond 64 bits": CHUNKED + b"\r\nfffffffffffffffff5\r\nhello\r\n" + ZERO,
    "chunk size in words": CHUNKED + b"\r\nfive\r\nhello\r\n" + ZERO,
    "empty chunk size": CHUNKED + b"\r\n\r\nhello\r\n" + ZERO,
    "chunk too short": CHUNKED + b"\r\n9\r\nhello\r\n" + ZERO,
    "chunk too long": CHUNKED + b"\r\n2\r\nhello\r\n" + ZERO,
    "giant chunk extension": CHUNKED + b"\r\n5;" + b"a" * 200_000 + b"\r\nhello\r\n" + ZERO,
    "giant trailer": CHUNKED + b"\r\n0\r\n" + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
}


def answers(victim: Victim, data: bytes) -> tuple[list[Answer], bool]:
    """Every answer on one connection, and whether it was closed after them."""
    found: list[Answer] = []
    with victim.connect(seconds=10) as connection:
        connection.send(data)
        connection.finish_sending()
        try:
            while True:
                found.append(connection.answer(method="POST"))
        except Closed:
            pass
    for answer in found:
        assert_civil(answer)
    return found, True


@pytest.mark.parametrize("row", AMBIGUOUS)
def test_ambiguous(victim: Victim, repository: Repository, row: str) -> None:
    """It is refused, or understood in the one way that hides nothing; never is there a second."""
    location = repository.open()
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\n".encode()

    found, _ = answers(victim, head + AMBIGUOUS[row] + SMUGGLED)

    assert not any(b"smuggled" in answer.body for answer in found), found
    assert len(found) <= 1, found
    assert all(answer.status >= 400 for answer in found), found


# These are well-formed, if unusual: exactly one body of five bytes, and then a request.
CLEAR: dict[str, bytes] = {
    "same length twice in one": b"Content-Length: 5\r\n\r\nhello",
    "upper case": b"TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n" + ZERO,
    "leading zeros": b"Content-Length: 005\r\n\r\nhello",
    "chunk with leading zeros": CHUNKED + b"\r\n0005\r\nhello\r\n" + ZERO,
    "upper-case hexadecimal": CHUNKED + b"\r\n5\r\nhello\r\n000\r\n\r\n",
    "white space around": b"Content-Length:  \t 5 \t \r\n\r\nhello",
}


@pytest.mark.parametrize("row", CLEAR)
def test_clear(victim: Victim, repository: Repository, row: str) -> None:
    """An unusual but well-formed body is read to its end, and the next request is the next."""
    location = repository.open()
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\n".encode()

    found, _ = answers(victim, head + CLEAR[row] + request_bytes("GET", "/v2/"))

    assert [answer.status for answer in found] == [202, 200]
    assert repository.wire.get(location).headers["Range"] == "0-4"


def test_body_longer_than_announced(victim: Victim, repository: Repository) -> None:
    """Bytes after the announced length are not part of the blob, and no request either."""
    blob = Content(b"hello")
    target = with_digest(repository.open(), blob.digest)
    data = request_bytes("PUT", target, OCTETS, ("Content-Length", "5"), body=b"hello, world")

    found, _ = answers(victim, data)

    assert found[0].status == 201, found
    assert [answer.status for answer in found[1:]] in ([], [400])
    assert_pullable(repository, blob)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
def test_truncated_blob(victim: Victim, repository: Repository, framing: str, method: str) -> None:
    """A body that ends early makes no blob, whichever way the connection ends."""
    blob = random_blob(50_000)
    half = blob.payload[:25_000]
    for reset in (False, True):
        location = repository.open()
        target = {
            "PATCH": location,
            "PUT": with_digest(location, Content(half).digest),
            "POST": f"{repository.uploads}?digest={Content(half).digest}",
        }[method]
        header = {
            "length": ("Content-Length", "50000"),
            "chunked": ("Transfer-Encoding", "chunked"),
        }
        body = half if framing == "length" else b"61a8\r\n" + half + b"\r\n"
        with victim.connect() as connection:
            connection.send(request_bytes(method, target, OCTETS, header[framing], body=body))
            if reset:
                connection.reset()
            else:
                connection.finish_sending()
                rest = connection.until_closed()
                assert b" 201 " not in rest
                assert b" 202 " not in rest
        assert repository.head_blob(Content(half)).status == 404
        assert repository.head_blob(blob).status == 404


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_truncated_manifest(victim: Victim, repository: Repository, framing: str) -> None:
    """A manifest that breaks off where it happens to be valid JSON is not there."""
    body = b'{"schemaVersion":2,"manifests":[]}'
    header = {"length": ("Content-Length", "99"), "chunked": ("Transfer-Encoding", "chunked")}
    data = body if framing == "length" else b"22\r\n" + body + b"\r\n"
    with victim.connect() as connection:
        connection.send(
            request_bytes("PUT", repository.manifest_path("v1"), header[framing], body=data)
        )
        connection.finish_sending()
        assert b" 201 " not in connection.until_closed()

    assert repository.get_manifest("v1").status == 404


def test_body_on_requests_that_have_none(victim: Victim, repository: Repository) -> None:
    """A body on GET, HEAD or DELETE is read over and is no request of its own."""
    for method in ("GET", "HEAD", "DELETE"):
        path = repository.manifest_path("absent")
        length = ("Content-Length", str(len(SMUGGLED)))
        data = request_bytes(method, path, length, body=SMUGGLED) + request_bytes("GET", "/v2/")
        with victim.connect() as connection:
            connection.send(data)
            assert connection.answer(method=method).status == 404
            with contextlib.suppress(Closed):
                assert connection.answer().status == 200
