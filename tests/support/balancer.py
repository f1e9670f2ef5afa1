# SPDX-License-Identifier: Apache-2.0
"""A load balancer that remembers nobody: each request goes to the next server, whoever sent it.

Every request gets a connection of its own to a server; one that refuses it is passed over before
anything was sent. What a server has begun it must end: nothing is ever sent twice. A test may have
any exchange cut, at a byte of the request or of the response. HTTP framing is followed exactly and
nothing is changed on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

import uvloop

from tests.support.registry import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

PIECE = 64 * 1024
# More than any server's limit for a head: refusing one is for the server.
MAX_HEAD = 256 * 1024
# Clients try TLS first and wait long for somebody who does not know it.
TLS_HANDSHAKE = b"\x16"
NOBODY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Side = Literal["request", "response"]


@dataclass(frozen=True, slots=True)
class Cut:
    """Where an exchange ends: behind so many bytes of one of its sides."""

    side: Side
    after: int


class Broken(Exception):
    """One side of an exchange is gone; the other follows."""


@dataclass(slots=True)
class Pipe:
    """One connection, and how many bytes may still be sent over it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    left: int | None = None

    async def send(self, piece: bytes) -> None:
        """Send; with an end set, send what is left and break."""
        if self.left is not None and len(piece) > self.left:
            self.writer.write(piece[: self.left])
            with contextlib.suppress(OSError):
                await self.writer.drain()
            raise Broken
        if self.left is not None:
            self.left -= len(piece)
        self.writer.write(piece)
        await self.writer.drain()

    def abort(self) -> None:
        """Hang up at once."""
        self.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Head:
    """The first lines of a message, and how its body is framed."""

    raw: bytes
    first: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> Head | None:
        """The next head; None at the end of the connection."""
        try:
            begin = await reader.readexactly(1)
            if begin == TLS_HANDSHAKE:
                return None
            raw = begin + await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return None
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        pairs = (line.partition(":")[::2] for line in lines)
        return cls(raw, first, tuple((key.lower(), value.strip().lower()) for key, value in pairs))

    def get(self, name: str) -> str | None:
        """The value of a field."""
        return next((value for key, value in self.fields if key == name), None)

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.first.split(" ", 2)[1])

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        return self.get("connection") == "close" or "HTTP/1.0" in self.first


@dataclass
class Balancer:
    """A balancer over ports of this machine, in a thread of its own."""

    servers: Sequence[int]
    cut: Callable[[], Cut | None] = lambda: None
    port: int = field(default_factory=free_port)
    taken: Counter[int] = field(default_factory=Counter)
    cuts: int = 0
    _turn: int = 0
    # asyncio itself would let go of a task that waits for a connection.
    _clients: set[asyncio.Task[None]] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _stop: asyncio.Event = field(init=False)

    @property
    def host(self) -> str:
        """What an image reference begins with."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="balancer")
        self._thread.start()
        assert started.wait(20), "the balancer does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _run(self, started: threading.Event) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(started))

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listener = await asyncio.start_server(
            self._client, "127.0.0.1", self.port, limit=MAX_HEAD, backlog=1024
        )
        started.set()
        await self._stop.wait()
        listener.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        client = Pipe(reader, writer)
        try:
            while await self._exchange(client):
                pass
        except (Broken, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            client.abort()
        finally:
            writer.close()

    async def _exchange(self, client: Pipe) -> bool:
        """Pass on one request and its response; whether the client may send another."""
        request = await Head.read(client.reader)
        if request is None:
            return False
        server = await self._connect()
        if server is None:
            await client.send(NOBODY)
            return False
        cut = self.cut()
        server.left = cut.after if cut and cut.side == "request" else None
        client.left = cut.after if cut and cut.side == "response" else None
        sending = asyncio.create_task(self._send(request, client, server))
        try:
            response = await self._answer(request, client, server)
            return sending.done() and not (request.closes or response.closes)
        except Broken:
            self.cuts += cut is not None
            raise
        finally:
            client.left = None
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            server.abort()

    async def _connect(self) -> Pipe | None:
        """A connection to the next server that takes one."""
        for _ in self.servers:
            port = self.servers[self._turn % len(self.servers)]
            self._turn += 1
            with contextlib.suppress(OSError):
                pipe = Pipe(*await asyncio.open_connection("127.0.0.1", port, limit=MAX_HEAD))
                self.taken[port] += 1
                return pipe
        return None

    async def _send(self, request: Head, client: Pipe, server: Pipe) -> None:
        """The request on its way to the server, which may answer and hang up before its end."""
        try:
            with contextlib.suppress(OSError):
                await server.send(request.raw)
            async for piece in _body(request, client.reader):
                with contextlib.suppress(OSError):
                    await server.send(piece)
        except BaseException:
            server.abort()
            raise

    async def _answer(self, request: Head, client: Pipe, server: Pipe) -> Head:
        while True:
            response = await Head.read(server.reader)
            if response is None:
                raise Broken
            await client.send(response.raw)
            if response.status >= 200:
                break
        if request.first.startswith("HEAD ") or response.status in {204, 304}:
            return response
        async for piece in _body(response, server.reader, until_closed=True):
            await client.send(piece)
        return response


async def _body(
    head: Head, reader: asyncio.StreamReader, *, until_closed: bool = False
) -> AsyncIterator[bytes]:
    """The message's body as it stands on the wire, in pieces."""
    length = head.get("content-length")
    if head.get("transfer-encoding") == "chunked":
        async for piece in _chunks(reader):
            yield piece
    elif length is not None:
        async for piece in _exactly(reader, int(length)):
            yield piece
    elif until_closed:
        while piece := await reader.read(PIECE):
            yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        yield line
        size = int(line.partition(b";")[0], 16)
        if size:
            async for piece in _exactly(reader, size + 2):
                yield piece
    while line := await reader.readuntil(b"\r\n"):
        yield line
        if line == b"\r\n":
            return


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size:
        piece = await reader.read(min(size, PIECE))
        if not piece:
            raise Broken
        size -= len(piece)
        yield piece
