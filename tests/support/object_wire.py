# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as the proxy of object stores passes it on: heads are read, bodies go by in pieces."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.object_requests import StoreRequest

if TYPE_CHECKING:
    from asyncio import StreamReader
    from collections.abc import AsyncIterator, Mapping

PIECE_BYTES = 1 << 18


class Cut(Exception):
    """Both connections are to be taken away now."""


async def read_head(reader: StreamReader) -> bytes:
    """Everything up to the empty line; nothing when the other side has closed."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""


def parse_request(head: bytes, *, azure: bool) -> StoreRequest:
    """Method, target and headers."""
    line, _, rest = head.decode("latin-1").partition("\r\n")
    method, target, _ = line.split(" ", 2)
    return StoreRequest(method, target, parse_headers(rest), azure)


def parse_answer(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers."""
    line, _, rest = head.decode("latin-1").partition("\r\n")
    return int(line.split(" ", 2)[1]), parse_headers(rest)


def parse_headers(lines: str) -> dict[str, str]:
    """Headers by their names in lower case; of several with one name, the last."""
    pairs = (line.partition(":") for line in lines.split("\r\n") if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


async def body(
    reader: StreamReader, headers: Mapping[str, str], cut: int | None, *, to_end: bool = False
) -> AsyncIterator[bytes]:
    """The bytes of a body as they are on the wire; `Cut` after the first `cut` of them."""
    passed = 0
    async for piece in whole_body(reader, headers, to_end=to_end):
        if cut is not None and passed + len(piece) > cut:
            yield piece[: cut - passed]
            raise Cut
        passed += len(piece)
        yield piece
    if cut is not None:
        raise Cut


async def whole_body(
    reader: StreamReader, headers: Mapping[str, str], *, to_end: bool
) -> AsyncIterator[bytes]:
    """Every byte of a body, framed by its length, by chunks, or by the end of the connection."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        size = -1
        while size != 0:
            line = await reader.readuntil(b"\r\n")
            yield line
            size = int(line.split(b";")[0], 16)
            async for piece in exactly(reader, size + 2 if size else 0):
                yield piece
        line = b""
        while line != b"\r\n":
            line = await reader.readuntil(b"\r\n")
            yield line
    elif to_end:
        while piece := await reader.read(PIECE_BYTES):
            yield piece
    else:
        async for piece in exactly(reader, int(headers.get("content-length", "0"))):
            yield piece


async def exactly(reader: StreamReader, size: int) -> AsyncIterator[bytes]:
    """So many bytes, in pieces."""
    while size > 0:
        piece = await reader.read(min(size, PIECE_BYTES))
        if not piece:
            raise EOFError
        size -= len(piece)
        yield piece
