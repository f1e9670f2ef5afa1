# SPDX-License-Identifier: Apache-2.0
"""What is sent back. A reply is a value that knows how to send itself; handlers only return it.

A body's length is always announced before its first byte, so that a client notices a reply that
was cut off. A HEAD reply has the headers of the GET and no body.
"""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from moorage.http.content import Content
    from moorage.http.types import RawHeaders, Scope, Send


class Reply:
    """Status and headers; no body."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: RawHeaders) -> None:
        self.status = status
        self.headers = headers

    @property
    def length(self) -> int:
        """How many body bytes the reply announces."""
        return 0

    async def send(self, scope: Scope, send: Send) -> None:
        """Write the reply; resources it holds are given back in any case."""
        await self._start(send)
        await send({"type": "http.response.body", "body": b""})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})

    def close(self) -> None:
        """Give back what the reply holds when it will not be sent."""


class EmptyReply(Reply):
    """A reply whose body is known to be empty, and says so."""

    __slots__ = ()

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(status, [*headers, (b"content-length", b"0")])


class BytesReply(Reply):
    """A body that is in memory."""

    __slots__ = ("body",)

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(
            status,
            [
                (b"content-type", content_type),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        )
        self.body = body

    @property
    def length(self) -> int:
        return len(self.body)

    async def send(self, scope: Scope, send: Send) -> None:
        await self._start(send)
        body = b"" if scope["method"] == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body})


class ContentReply(Reply):
    """The bytes from `start` to before `stop` of some content."""

    __slots__ = ("_content", "_start_at", "_stop_at")

    def __init__(
        self, status: int, headers: RawHeaders, content: Content, start: int, stop: int
    ) -> None:
        super().__init__(status, [*headers, (b"content-length", str(stop - start).encode())])
        self._content = content
        self._start_at = start
        self._stop_at = stop

    @property
    def length(self) -> int:
        return self._stop_at - self._start_at

    async def send(self, scope: Scope, send: Send) -> None:
        try:
            await self._start(send)
            await self._content.send(scope, send, self._start_at, self._stop_at, more=False)
        finally:
            self.close()

    def close(self) -> None:
        self._content.close()


class MultipartReply(Reply):
    """Several ranges of some content, as RFC 9110 section 14.6 lays them out."""

    __slots__ = ("_content", "_ranges", "_tail")

    def __init__(
        self,
        headers: RawHeaders,
        content: Content,
        ranges: Sequence[tuple[int, int]],
        total: int,
    ) -> None:
        boundary = token_hex(16)
        self._content = content
        self._ranges = [
            (_part_head(boundary, start, stop, total), start, stop) for start, stop in ranges
        ]
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        multipart = f"multipart/byteranges; boundary={boundary}".encode()
        super().__init__(206, [*headers, (b"content-type", multipart)])
        self.headers.append((b"content-length", str(self.length).encode()))

    @property
    def length(self) -> int:
        parts = sum(len(head) + stop - start for head, start, stop in self._ranges)
        return parts + len(self._tail)

    async def send(self, scope: Scope, send: Send) -> None:
        try:
            await self._start(send)
            for head, start, stop in self._ranges:
                await send({"type": "http.response.body", "body": head, "more_body": True})
                await self._content.send(scope, send, start, stop, more=True)
            await send({"type": "http.response.body", "body": self._tail})
        finally:
            self.close()

    def close(self) -> None:
        self._content.close()


def _part_head(boundary: str, start: int, stop: int, total: int) -> bytes:
    return (
        f"\r\n--{boundary}\r\ncontent-type: application/octet-stream\r\n"
        f"content-range: bytes {start}-{stop - 1}/{total}\r\n\r\n"
    ).encode()
