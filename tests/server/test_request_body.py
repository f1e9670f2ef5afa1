# SPDX-License-Identifier: Apache-2.0
"""Where a request's body ends, however the bytes are cut into pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.server.asgi import RefusedError
from moorage.server.request_body import ChunkedBody, LengthBody, body_of
from moorage.server.request_head import parse_fields


def decode(data: bytes, cuts: list[int]) -> tuple[bytes, bytes, bool]:
    """Content, rest, and whether the body is whole, of chunked data that arrives in pieces."""
    body = ChunkedBody()
    content, rest = b"", b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in pairwise(edges):
        if body.done:
            rest += data[start:stop]
        elif data[start:stop]:
            piece, after = body.take(data[start:stop])
            content += piece
            rest += after
    return content, rest, body.done


def test_received_object_is_handed_on() -> None:
    """Bytes with a known length are not copied."""
    body, data = LengthBody(10), b"12345"

    piece, rest = body.take(data)

    assert piece is data
    assert (rest, body.remaining, body.done) == (b"", 5, False)


def test_length_splits_off_the_next_request() -> None:
    """What follows the body is given back."""
    body = LengthBody(3)

    assert body.take(b"abcGET /") == (b"abc", b"GET /")
    assert body.done


def test_no_framing_means_no_body() -> None:
    """A request without framing fields has an empty body, which is whole at once."""
    assert body_of(parse_fields(b"Host: a")).done


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.lists(st.integers(min_value=0, max_value=400), max_size=8),
    st.binary(max_size=10),
)
def test_chunks_in_any_pieces(chunks: list[bytes], cuts: list[int], rest: bytes) -> None:
    """However the bytes arrive, the content is the chunks, and nothing behind them is touched."""
    data = b"".join(b"%X;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    data += b"00\r\nTrailer: dropped\r\n\r\n" + rest

    assert decode(data, cuts) == (b"".join(chunks), rest, True)


@given(st.binary(min_size=1, max_size=30), st.data())
def test_cut_off_chunks_are_never_whole(chunk: bytes, data: st.DataObject) -> None:
    """A chunked body that stops anywhere before its last byte is not done."""
    whole = b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunk), chunk)
    stop = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))

    assert not decode(whole[:stop], [])[2]


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1_0\r\n",
        b"1\n",
        b"1 \r\n",
        b"1;\x00\r\n",
        b"1;a\rb\r\n",
        b"1;a\nb\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1\r\naX",
        b"ffffffffffffffff\r\n",
        b"1;" + b"a" * 2000,
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
    ],
)
def test_malformed_chunks(data: bytes) -> None:
    """Sizes and ends that two servers could read in two ways are refused."""
    with pytest.raises(RefusedError) as refusal:
        decode(data + b"0\r\n\r\n", list(range(0, len(data), 7)))

    assert refusal.value.status == 400


class LlhttpRequest:
    """What another, widely used parser makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        httptools: Any = pytest.importorskip("httptools", reason="the package httptools")
        self.content = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.whole = self.error = False
        try:
            httptools.HttpRequestParser(self).feed_data(data)
        except httptools.HttpParserError:
            self.error = not self.whole
        except httptools.HttpParserUpgrade:
            pass

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_body(self, body: bytes) -> None:
        self.content += body

    def on_message_complete(self) -> None:
        self.whole = True


REQUESTS = st.builds(
    lambda length, chunked, extra, body: (
        b"POST /p HTTP/1.1\r\nHost: h\r\n%b%b%b\r\n%b" % (length, chunked, extra, body)
    ),
    st.sampled_from([b"", b"Content-Length: 5\r\n", b"Content-Length:\t5 \r\n"]),
    st.sampled_from([b"", b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:CHUNKED\r\n"]),
    st.sampled_from([b"", b"X: \r\n", b"A:b\r\nC: d\r\n", b"X: \xff\r\n", b"X : y\r\n"]),
    st.one_of(
        st.binary(max_size=30),
        st.lists(
            st.sampled_from(
                [b"0", b"5", b"\r\n", b"\n", b"\r", b"abcde", b";x", b"a", b": ", b"G"]
            ),
            max_size=12,
        ).map(b"".join),
    ),
)


@given(REQUESTS)
def test_agrees_with_llhttp(data: bytes) -> None:
    """A request that is whole for us is whole for llhttp, with the same fields and body."""
    head, _, after = data.partition(b"\r\n\r\n")
    try:
        fields = parse_fields(head.partition(b"\r\n")[2])
        body = body_of(fields)
        content, _ = (b"", b"") if body.done or not after else body.take(after)
    except RefusedError:
        return
    other = LlhttpRequest(data)

    if body.done:
        assert not other.error
        assert tuple(other.headers) == fields.headers
        assert (other.whole, other.content) == (True, content)
    else:
        assert not other.whole
