# SPDX-License-Identifier: Apache-2.0
"""The poller tells of input, of room, and of every end, however often interest comes and goes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from moorage.server.poller import Poller

Scenario = Callable[[Poller, socket.socket, socket.socket], Awaitable[None]]


def with_pair(scenario: Scenario) -> None:
    """Run the scenario with a poller and the two ends of a TCP connection."""

    async def run() -> None:
        poller = Poller(asyncio.get_running_loop())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        server.setblocking(False)
        try:
            with client, server:
                await scenario(poller, server, client)
                poller.remove_reader(server.fileno())
                poller.remove_writer(server.fileno())
        finally:
            poller.close()

    uvloop.run(run())


async def called(event: asyncio.Event) -> None:
    """Wait for the callback, but not for ever."""
    await asyncio.wait_for(event.wait(), 5)
    event.clear()


def test_tells_of_input() -> None:
    """A reader is called when bytes arrive."""

    async def scenario(poller: Poller, server: socket.socket, client: socket.socket) -> None:
        readable = asyncio.Event()
        poller.add_reader(server.fileno(), readable.set)
        client.send(b"x")
        await called(readable)

    with_pair(scenario)


def test_tells_of_room() -> None:
    """A writer is called when the kernel takes more, next to a reader on the same socket."""

    async def scenario(poller: Poller, server: socket.socket, client: socket.socket) -> None:
        readable, writable = asyncio.Event(), asyncio.Event()
        poller.add_reader(server.fileno(), readable.set)
        poller.add_writer(server.fileno(), writable.set)
        await called(writable)
        poller.remove_writer(server.fileno())
        client.send(b"x")
        await called(readable)

    with_pair(scenario)


@pytest.mark.parametrize("reset", [False, True])
def test_tells_of_the_end(*, reset: bool) -> None:
    """A reader is called when the other side closes, in order or with a reset."""

    async def scenario(poller: Poller, server: socket.socket, client: socket.socket) -> None:
        ended = asyncio.Event()
        poller.add_reader(server.fileno(), ended.set)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await called(ended)

    with_pair(scenario)


def test_interest_may_come_and_go() -> None:
    """After a thousand turns of removing and adding the reader still hears of input."""

    async def scenario(poller: Poller, server: socket.socket, client: socket.socket) -> None:
        readable = asyncio.Event()
        for _ in range(1000):
            poller.add_reader(server.fileno(), readable.set)
            client.send(b"x")
            await called(readable)
            server.recv(1)
            poller.remove_reader(server.fileno())
            poller.remove_reader(server.fileno())

    with_pair(scenario)


def test_one_callback_that_fails_does_not_stop_the_others() -> None:
    """An error in a callback goes to the loop's exception handler; the poller goes on."""

    async def scenario(poller: Poller, server: socket.socket, client: socket.socket) -> None:
        reported, writable = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: reported.set())

        def fail() -> None:
            poller.remove_reader(server.fileno())
            raise ValueError

        poller.add_reader(server.fileno(), fail)
        client.send(b"x")
        await called(reported)
        poller.add_writer(server.fileno(), writable.set)
        await called(writable)

    with_pair(scenario)
