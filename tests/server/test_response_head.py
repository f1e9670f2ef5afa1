# SPDX-License-Identifier: Apache-2.0
"""The head of a response and the framing that it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from moorage.server.response_head import preamble, response_head, short_response

if TYPE_CHECKING:
    from moorage.server.response_head import ResponseHead

OPENING = preamble(200, 0)


def head(
    *headers: tuple[bytes, bytes],
    status: int = 200,
    bodyless: bool = False,
    version: str = "1.1",
    keep_alive: bool = True,
) -> ResponseHead:
    """A head with the usual circumstances."""
    return response_head(
        OPENING, status, headers, bodyless=bodyless, version=version, keep_alive=keep_alive
    )


def test_preamble() -> None:
    """Status line and an IMF-fixdate."""
    assert preamble(404, 0) == b"HTTP/1.1 404 Not Found\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT"


def test_content_length_is_kept() -> None:
    """The application's length is the framing, and the connection stays open."""
    data, length, chunked, keep_alive = head((b"content-length", b"7"), (b"x", b"y"))

    assert data == OPENING + b"\r\nX: y\r\nContent-Length: 7\r\n\r\n"
    assert (length, chunked, keep_alive) == (7, False, True)


def test_chunks_without_a_length() -> None:
    """HTTP/1.1 gets chunks, whatever transfer encoding the application names."""
    data, length, chunked, keep_alive = head((b"transfer-encoding", b"gzip"))

    assert data == OPENING + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (length, chunked, keep_alive) == (None, True, True)


def test_http_1_0_ends_with_the_connection() -> None:
    """HTTP/1.0 has no chunks: the body ends with the connection."""
    data, length, chunked, keep_alive = head(version="1.0")

    assert data == OPENING + b"\r\nConnection: close\r\n\r\n"
    assert (length, chunked, keep_alive) == (None, False, False)


def test_head_keeps_the_length_of_get() -> None:
    """HEAD announces the length and has no body."""
    data, length, chunked, _ = head((b"content-length", b"7"), bodyless=True)

    assert b"Content-Length: 7\r\n" in data
    assert (length, chunked) == (0, False)


def test_no_content_has_no_length() -> None:
    """RFC 9110, 8.6: no Content-Length in a 204."""
    data, *_ = head((b"content-length", b"0"), status=204, bodyless=True)

    assert b"content-length" not in data
    assert b"transfer-encoding" not in data


def test_close_is_said_once() -> None:
    """An application that closes, and a server that does, give one field."""
    data, _, _, keep_alive = head((b"connection", b"Close"), keep_alive=False)

    assert data.count(b"Connection: close") == 1
    assert not keep_alive


@pytest.mark.parametrize(
    "header", [(b"x", b"a\r\nb: c"), (b"x", b"a\n"), (b"x", b"a\r"), (b"x", b"\0"), (b"x\n", b"y")]
)
def test_line_breaks_are_refused(header: tuple[bytes, bytes]) -> None:
    """No field can carry another one in it."""
    with pytest.raises(ValueError, match="line break"):
        head(header)


def test_short_response() -> None:
    """The server's own answers are whole, plain, and close the connection."""
    data = short_response(431, "too large")

    assert data.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert data.endswith(b"Content-Length: 10\r\nConnection: close\r\n\r\ntoo large\n")
