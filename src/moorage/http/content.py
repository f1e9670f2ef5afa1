# SPDX-License-Identifier: Apache-2.0
"""Long content that a reply sends a part of: an open file, or pieces that come from elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from moorage.http.types import Scope, Send

# Up to here one read, sent together with the headers, costs less than asking the kernel to copy.
INLINE_BYTES = 64 * 1024
PIECE_BYTES = 256 * 1024
# https://asgi.readthedocs.io/en/latest/extensions.html#zero-copy-send
ZERO_COPY = "http.response.zerocopysend"


class Content(Protocol):
    """Something that can send any range of itself."""

    async def send(self, scope: Scope, send: Send, start: int, stop: int, *, more: bool) -> None:
        """Send the bytes from `start` to before `stop`; `more` tells that the body goes on."""

    def close(self) -> None:
        """Give back what is held."""


class FileContent:
    """An open file, sent by the kernel where the server offers that. Owns the descriptor."""

    __slots__ = ("_file",)

    def __init__(self, file: int) -> None:
        self._file = file

    async def send(self, scope: Scope, send: Send, start: int, stop: int, *, more: bool) -> None:
        count = stop - start
        if count <= INLINE_BYTES:
            body = os.pread(self._file, count, start)
            await send({"type": "http.response.body", "body": body, "more_body": more})
        elif ZERO_COPY in scope.get("extensions", ()):
            await send(
                {
                    "type": ZERO_COPY,
                    "file": self._file,
                    "offset": start,
                    "count": count,
                    "more_body": more,
                }
            )
        else:
            await self._send_pieces(send, start, stop, more=more)

    async def _send_pieces(self, send: Send, start: int, stop: int, *, more: bool) -> None:
        while start < stop:
            piece = os.pread(self._file, min(PIECE_BYTES, stop - start), start)
            if not piece:
                message = f"the file ends at {start} bytes instead of {stop}"
                raise EOFError(message)
            start += len(piece)
            last = start == stop and not more
            await send({"type": "http.response.body", "body": piece, "more_body": not last})

    def close(self) -> None:
        os.close(self._file)


class StreamContent:
    """Pieces that `read(start, stop)` yields."""

    __slots__ = ("_prepared", "_read")

    def __init__(self, read: Callable[[int, int], AsyncIterator[bytes]]) -> None:
        self._read = read
        self._prepared: tuple[int, int, bytes, AsyncIterator[bytes]] | None = None

    async def prepare(self, start: int, stop: int) -> None:
        """Fetch the first piece of a range, so that a failure comes before the reply has begun.

        Raises:
            Exception: whatever reading raises.
        """
        pieces = self._read(start, stop)
        first = await anext(pieces, b"")
        self._prepared = (start, stop, first, pieces)

    async def send(self, scope: Scope, send: Send, start: int, stop: int, *, more: bool) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared[:2] == (start, stop):
            first, pieces = prepared[2:]
            await send({"type": "http.response.body", "body": first, "more_body": True})
        else:
            pieces = self._read(start, stop)
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not more:
            await send({"type": "http.response.body", "body": b""})

    def close(self) -> None:
        """A read that was begun ends when its iterator is dropped."""
        self._prepared = None
