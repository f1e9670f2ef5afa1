# SPDX-License-Identifier: Apache-2.0
"""A wire between the program and PostgreSQL that can be cut at the moment of a COMMIT."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.postgres import PostgresServer

# What the driver sends for `COMMIT`: a simple query, its length, its text.
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
Moment = Literal["before", "after"]


class Wire:
    """Forwards connections on a loopback port of its own; `async with` opens and closes it."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._meanwhile: Callable[[], Awaitable[None]] | None = None
        self._cuts: list[Moment] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.commits = 0
        self.is_silent = False

    def cut(self, *moments: Moment, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Cut the connections of the next commits, before they arrive or before their answer."""
        self._cuts = list(moments)
        self._meanwhile = meanwhile

    def url(self, database: str) -> str:
        """Where the database is reached through the wire."""
        return self._server.url(database).replace(f":{self._server.port}/", f":{self._port}/")

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._server.port)
        except OSError:
            writer.transport.abort()
            return
        answering = asyncio.create_task(_pump(there, writer))
        try:
            while piece := await reader.read(65536):
                if self.is_silent:
                    continue
                if COMMIT in piece:
                    self.commits += 1
                    if self._cuts:
                        await self._break(self._cuts.pop(0), piece, answering, back)
                        break
                back.write(piece)
        finally:
            answering.cancel()
            writer.transport.abort()
            back.transport.abort()

    async def _break(
        self,
        moment: Moment,
        piece: bytes,
        answering: asyncio.Task[None],
        back: asyncio.StreamWriter,
    ) -> None:
        answering.cancel()
        if moment == "after":
            back.write(piece)
            await back.drain()
            await asyncio.sleep(0.2)  # the answer goes nowhere
        if self._meanwhile is not None:
            await self._meanwhile()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
    writer.transport.abort()
