# SPDX-License-Identifier: Apache-2.0
"""A request as handlers see it: its headers, its query, and its body only as far as it is read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from moorage.http.request import (
    MAX_QUERY_FIELDS,
    BodyTooLarge,
    ClientDisconnected,
    Request,
)
from moorage.spec.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.http.types import Message


def request(
    *headers: tuple[bytes, bytes], query: bytes = b"", messages: Sequence[Message] = ()
) -> Request:
    """A request whose body arrives as the given messages, and then never ends."""
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    scope = {
        "method": "PUT",
        "path": "/v2/",
        "query_string": query,
        "headers": list(headers),
        "client": ("192.0.2.1", 1),
    }
    return Request(scope, receive, "an-id")


def piece(body: bytes, *, more: bool = True) -> Message:
    """A piece of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


def test_headers() -> None:
    """The first of a name, all of a name, or nothing."""
    found = request((b"accept", b"a"), (b"x", b"\xe9"), (b"accept", b"b, c"))

    assert found.header(b"accept") == "a"
    assert found.header_values(b"accept") == ["a", "b, c"]
    assert found.header(b"x") == "é"
    assert found.header(b"range") is None
    assert found.header_values(b"range") == []


@pytest.mark.parametrize(
    ("value", "expected"), [(b"0", 0), (b"17", 17), (b"", None), (b"-1", None), (b"x", None)]
)
def test_content_length(value: bytes, expected: int | None) -> None:
    """A number, or not announced at all."""
    assert request((b"content-length", value)).content_length == expected
    assert request().content_length is None


def test_the_query_is_decoded_once() -> None:
    """Fields keep their order, empty values and repetitions; percent signs are decoded once."""
    found = request(query=b"tag=b&n=&tag=a%2520&last=%C3%A9&plus=a+b&bare")

    assert found.query == {
        "tag": ["b", "a%20"],
        "n": [""],
        "last": ["é"],
        "plus": ["a b"],
        "bare": [""],
    }
    assert found.query_value("tag") == "b"
    assert found.query_value("nothing") is None
    assert request().query == {}


def test_a_query_that_is_no_text_is_no_fault_of_ours() -> None:
    """Bytes that are not UTF-8 become replacement characters, never an exception."""
    assert request(query=b"n=%ff\xff").query_value("n") == "�ÿ"


def test_too_many_query_fields_are_refused() -> None:
    """A query of absurd length is the client's fault."""
    few = request(query=b"&".join([b"a=1"] * MAX_QUERY_FIELDS))
    many = request(query=b"&".join([b"a=1"] * (MAX_QUERY_FIELDS + 1)))

    assert len(few.query["a"]) == MAX_QUERY_FIELDS
    with pytest.raises(RequestInvalid, match=str(MAX_QUERY_FIELDS)):
        _ = many.query


def test_the_body_comes_in_pieces() -> None:
    """Each piece as it arrived, empty ones left out, counted as they are read."""

    async def scenario() -> None:
        found = request(messages=[piece(b"ab"), piece(b""), piece(b"c"), piece(b"", more=False)])

        assert found.received == 0
        assert [part async for part in found.pieces()] == [b"ab", b"c"]
        assert found.received == 3

    asyncio.run(scenario())


def test_a_cut_body_is_not_an_end() -> None:
    """Who reads a body that breaks off has all that came, and then hears of it."""

    async def scenario() -> None:
        found = request(messages=[piece(b"ab"), {"type": "http.disconnect"}])
        pieces = found.pieces()
        assert await anext(pieces) == b"ab"
        with pytest.raises(ClientDisconnected):
            await anext(pieces)

    asyncio.run(scenario())


def test_a_whole_body() -> None:
    """Up to the limit the body is returned whole."""

    async def scenario() -> None:
        found = request(messages=[piece(b"ab"), piece(b"cd", more=False)])
        assert await found.body(4) == b"abcd"

    asyncio.run(scenario())


def test_a_body_beyond_the_limit_is_not_read_to_its_end() -> None:
    """Reading stops with the piece that is too much; what follows is left where it is."""

    async def scenario() -> None:
        found = request(messages=[piece(b"ab"), piece(b"cde")])
        with pytest.raises(BodyTooLarge):
            await found.body(4)

    asyncio.run(scenario())


def test_a_body_announced_too_large_is_not_read_at_all() -> None:
    """Content-Length alone is reason enough."""

    async def scenario() -> None:
        found = request((b"content-length", b"5"))
        with pytest.raises(BodyTooLarge):
            await found.body(4)

    asyncio.run(scenario())


def test_a_cut_body_is_never_taken_for_a_whole_one() -> None:
    """A manifest that breaks off is no manifest."""

    async def scenario() -> None:
        found = request(messages=[piece(b"{}"), {"type": "http.disconnect"}])
        with pytest.raises(ClientDisconnected):
            await found.body(100)

    asyncio.run(scenario())
