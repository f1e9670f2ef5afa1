# SPDX-License-Identifier: Apache-2.0
"""The grammar of a request's head: what is accepted, and that everything else is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.server.asgi import RefusedError
from moorage.server.request_head import (
    check_beginning,
    check_together,
    parse_fields,
    parse_request_line,
)


def line(text: bytes) -> tuple[str, str, bytes, bytes, str]:
    """The parsed request line."""
    return parse_request_line(text + b"\r\n", len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"GET / HTTP/1.1", ("GET", "/", b"/", b"", "1.1")),
        (b"PUT /v2/a?digest=x HTTP/1.0", ("PUT", "/v2/a", b"/v2/a", b"digest=x", "1.0")),
        (b"GET /a%3Ab? HTTP/1.1", ("GET", "/a:b", b"/a%3Ab", b"", "1.1")),
        (b"GET /%ff HTTP/1.1", ("GET", "/\N{REPLACEMENT CHARACTER}", b"/%ff", b"", "1.1")),
        (b"GET http://h:1/p?q HTTP/1.1", ("GET", "/p", b"/p", b"q", "1.1")),
        (b"GET HTTPS://h HTTP/1.1", ("GET", "/", b"/", b"", "1.1")),
        (b"OPTIONS * HTTP/1.1", ("OPTIONS", "/", b"/", b"", "1.1")),
    ],
)
def test_request_lines(text: bytes, expected: tuple[str, str, bytes, bytes, str]) -> None:
    """Every form of target a registry is asked with is understood."""
    assert line(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/\tHTTP/1.1",
        b" GET / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET nothing HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"CONNECT host:443 HTTP/1.1",
        b"GET / HTTP/1.2",
        b"GET / http/1.1",
        b"GET / HTTP/1.1\nX: y",
    ],
)
def test_malformed_request_lines(text: bytes) -> None:
    """A request line that is not exactly one is refused with 400."""
    with pytest.raises(RefusedError) as refusal:
        line(text)

    assert refusal.value.status == 400


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"3.0"])
def test_other_versions(version: bytes) -> None:
    """Another major version is refused."""
    with pytest.raises(RefusedError) as refusal:
        line(b"GET / HTTP/" + version)

    assert refusal.value.status == 400


def test_fields() -> None:
    """Names come in lower case, values without the space around them, in the order sent."""
    fields = parse_fields(b"Host:a\r\nX-Long-Name: \t b c\xe9 \t\r\nAccept:\r\naccept: x")

    assert fields.headers == (
        (b"host", b"a"),
        (b"x-long-name", b"b c\xe9"),
        (b"accept", b""),
        (b"accept", b"x"),
    )
    assert fields.hosts == 1


def test_framing_fields() -> None:
    """What the fields say about framing is read out of them."""
    plain = parse_fields(b"content-length: 012\r\nConnection: x, Close\r\nexpect: 100-Continue")
    chunked = parse_fields(b"transfer-encoding: Chunked")

    assert (plain.content_length, plain.close, plain.expects_continue) == (12, True, True)
    assert (chunked.chunked, chunked.content_length) == (True, None)


@pytest.mark.parametrize(
    "block",
    [
        b"no colon",
        b": no name",
        b"Space : before colon",
        b" leading: space",
        b"a: b\r\n folded",
        b"a: b\r\n\tfolded",
        b"a: zero\x00byte",
        b"a: bare\rreturn",
        b"a: bare\nfeed",
        b"a\xe9: b",
        b"a: \x7f",
        b"a: b\r\n\r\nc: d",
        b"Content-Length: +1",
        b"Content-Length: -1",
        b"Content-Length: 0x1",
        b"Content-Length: 1 1",
        b"Content-Length: 1, 1",
        b"Content-Length: 1_0",
        b"Content-Length: \xb2",
        b"Content-Length:",
        b"Content-Length: 9999999999999999999",
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Host: a/b",
        b"Host: a b",
    ],
)
def test_refused_fields(block: bytes) -> None:
    """Fields that two servers could read in two ways are refused with 400."""
    with pytest.raises(RefusedError) as refusal:
        parse_fields(block)

    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (b"Transfer-Encoding: gzip, chunked", 400),
        (b"Transfer-Encoding: identity", 400),
        (b"Transfer-Encoding: \x0bchunked", 400),
        (b"Transfer-Encoding: chunked;a=b", 400),
        (b"Expect: tea", 417),
    ],
)
def test_unsupported_fields(block: bytes, status: int) -> None:
    """What is correct but not supported is refused with its own status."""
    with pytest.raises(RefusedError) as refusal:
        parse_fields(block)

    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("version", "block"),
    [
        ("1.1", b""),
        ("1.1", b"Host: a\r\nHost: a"),
        ("1.0", b"Host: a\r\nHost: b"),
        ("1.0", b"Transfer-Encoding: chunked"),
    ],
)
def test_rules_across_line_and_fields(version: str, block: bytes) -> None:
    """Host is required once, and HTTP/1.0 has no chunks."""
    with pytest.raises(RefusedError):
        check_together(version, parse_fields(block))


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\n", 400),
        (b"nonsense\r\n", 400),
        (b"GET /" + b"a" * 100, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 200, 431),
    ],
)
def test_hopeless_beginnings(beginning: bytes, status: int) -> None:
    """What can never become a request is refused before it is complete."""
    with pytest.raises(RefusedError) as refusal:
        check_beginning(beginning, header_bytes=200, request_line_bytes=100)

    assert refusal.value.status == status


@given(st.binary(max_size=60))
def test_nothing_but_refusals(data: bytes) -> None:
    """No bytes raise anything else than a refusal."""
    with contextlib.suppress(RefusedError):
        parse_fields(data)
    with contextlib.suppress(RefusedError):
        parse_request_line(data, len(data))
