# SPDX-License-Identifier: Apache-2.0
"""One client's connection, without conveniences: nothing is sent twice, and a loss is a loss.

A request either has an answer or it has none, and then nobody knows whether it was heard. Only one
that could not even be begun has certainly not happened.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.wire import Answer, Headers

if TYPE_CHECKING:
    from tests.support.wire import Header

MAX_HEAD = 256 * 1024
PIECE = 48 * 1024


class Unheard(Exception):
    """There was nobody to connect to: the request has certainly not happened."""


class Lost(Exception):
    """The connection ended before the answer did: the request may have happened, or may yet."""


class Caller:
    """A client of one address over a connection that is kept alive."""

    def __init__(self, port: int, *, seconds: float = 12.0) -> None:
        self._port = port
        self._seconds = seconds
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self,
        method: str,
        target: str,
        *headers: Header,
        body: bytes = b"",
        chunked: bool = False,
        stop_after: int | None = None,
    ) -> Answer:
        """Send a request and read its answer; hang up behind so many bytes of the body, if told.

        Raises:
            Unheard: there was nobody.
            Lost: there is no answer.
        """
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            raise Unheard from error
        framing: Header = ("Content-Length", str(len(body)))
        if chunked:
            framing = ("Transfer-Encoding", "chunked")
        fields = "".join(f"{key}: {value}\r\n" for key, value in (*headers, framing))
        head = f"{method} {target} HTTP/1.1\r\nHost: cluster\r\n{fields}\r\n"
        try:
            async with asyncio.timeout(self._seconds):
                writer.write(head.encode())
                sending = asyncio.create_task(_send(writer, body, stop_after, chunked=chunked))
                try:
                    answer = await _answer(reader, method)
                finally:
                    sending.cancel()
                    (outcome,) = await asyncio.gather(sending, return_exceptions=True)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Lost from error
        except BaseException:
            self.close()
            raise
        if answer.headers.get("Connection") == "close" or outcome is not None:
            self.close()
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is not None and self._connection[0].at_eof():
            self.close()
        if self._connection is None:
            self._connection = await asyncio.open_connection(
                "127.0.0.1", self._port, limit=MAX_HEAD
            )
        return self._connection

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection[1].transport.abort()
            self._connection = None


async def _send(
    writer: asyncio.StreamWriter, body: bytes, stop_after: int | None, *, chunked: bool
) -> None:
    """The body in pieces; a server that has hung up is noticed by whoever reads its answer."""
    end = len(body) if stop_after is None else stop_after
    try:
        for start in range(0, end, PIECE):
            piece = body[start : min(start + PIECE, end)]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
        if stop_after is not None:
            writer.transport.abort()
        elif chunked:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except OSError:
        return


async def _answer(reader: asyncio.StreamReader, method: str) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    pairs = [line.split(":", 1) for line in lines]
    headers = Headers([(key, value.strip()) for key, value in pairs])
    status = int(first.split(" ", 2)[1])
    if method == "HEAD" or status in {204, 304}:
        return Answer(status, headers, b"")
    if headers.get("Transfer-Encoding") == "chunked":
        return Answer(status, headers, await _chunks(reader))
    body = await reader.readexactly(int(headers["Content-Length"]))
    return Answer(status, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body
