# SPDX-License-Identifier: Apache-2.0
"""Waiting for a client: to send something, or to take something. What the bytes mean is decided
elsewhere.

The wire pulls: bytes are taken from the kernel when somebody wants them, so the socket's buffer is
the only queue and TCP itself slows a client down. Each wait has a deadline, which the server's
sweep looks at. Whoever moves much without ever waiting still gives the other connections their
turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from typing import TYPE_CHECKING, Final

from moorage.server.asgi import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.server.channel import Channel
    from moorage.server.poller import Poller

NEVER: Final = math.inf

_PIECE_BYTES: Final = 512 * 1024
"""Of a body at once. Measured with hashing and writing: 256 KiB cost a tenth more CPU, 64 KiB half
as much again, 1 MiB hardly less, while nobody else is served for the time one piece takes."""

_TURN_BYTES: Final = 1024 * 1024
"""Sent without waiting before other connections get their turn."""

_NOTHING: Final = memoryview(b"")
_RESET: Final = struct.pack("ii", 1, 0)


class Wire:
    """One client's channel on an event loop."""

    __slots__ = (
        "_fileno", "_input", "_loop", "_on_closed", "_on_input", "_poller", "_readable",
        "_turn_bytes", "_unsent", "_waited", "_writable", "channel", "closed", "peer_finished",
        "read_deadline", "write_deadline", "write_patience",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        poller: Poller,
        channel: Channel,
        *,
        write_patience: float,
        on_input: Callable[[], None],
        on_closed: Callable[[], None],
    ) -> None:
        self.channel = channel
        self.closed = False
        self.peer_finished = False
        """The client sends no more; it may still read."""
        self.read_deadline = self.write_deadline = NEVER
        self.write_patience = write_patience
        self._loop = loop
        self._poller = poller
        self._fileno = channel.socket.fileno()
        self._on_input = on_input
        self._on_closed = on_closed
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._waited = False
        self._turn_bytes = 0
        self._unsent = _NOTHING
        self._input = False
        self.resume_input()

    # -- input -------------------------------------------------------------------------------------

    def resume_input(self) -> None:
        """Input that nobody awaits is announced by `on_input`."""
        if not self._input and not self.closed:
            self._input = True
            self._poller.add_reader(self._fileno, self._input_ready)

    def pause_input(self) -> None:
        """Input waits in the kernel."""
        if self._input:
            self._input = False
            self._poller.remove_reader(self._fileno)

    def _input_ready(self) -> None:
        if self._readable is None:
            self._on_input()
        else:
            self.wake_reader()

    def wake_reader(self) -> None:
        """Ends the wait for input; the reader looks for itself what is new."""
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def read_now(self) -> bytes | None:
        """What has arrived, as large as it comes; None when that is nothing, empty at the end."""
        if self.closed or self.peer_finished:
            return b""
        try:
            data = self.channel.recv(_PIECE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self.peer_finished = not data
        return data

    async def wait_for_input(self, patience: float) -> None:
        """Returns when something arrived, the wire was closed, or `wake_reader` was called."""
        self.resume_input()
        self.read_deadline = self._loop.time() + patience
        await self.wait_for_wake()

    async def wait_for_wake(self) -> None:
        """Returns when `wake_reader` was called."""
        if self.closed:
            return
        self._readable = self._loop.create_future()
        try:
            await self._readable
        finally:
            self._readable = None
            self.read_deadline = NEVER
        self._waited = True

    async def take_reading_turn(self) -> None:
        """Lets others work before more is read, unless they just did."""
        if not self._waited:
            await asyncio.sleep(0)
        self._waited = False

    # -- output ------------------------------------------------------------------------------------

    async def write(self, data: bytes | memoryview) -> None:
        """Returns when the kernel has taken all of `data`."""
        if not self.write_now(data):
            await self.write_rest()

    def write_now(self, data: bytes | memoryview) -> bool:
        """Gives `data` to the kernel; False when `write_rest` must be awaited."""
        if self.closed:
            raise ClientGoneError
        sent = self._send(data)
        self._turn_bytes += sent
        if sent == len(data) and not self.channel.pending and self._turn_bytes < _TURN_BYTES:
            return True
        self._unsent = memoryview(data)[sent:]
        return False

    async def write_rest(self) -> None:
        """Waits for the kernel to take what it did not take at once, then for this client's
        turn.
        """
        while self._unsent or self.channel.pending:
            await self.wait_for_room()
            self._unsent = self._unsent[self._send(self._unsent) :]
        self._unsent = _NOTHING
        await self.take_writing_turn(0)

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self.channel.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            raise ClientGoneError from None

    async def wait_for_room(self) -> None:
        """Returns when the kernel takes more; raises when the client has gone."""
        if self.closed:
            raise ClientGoneError
        self._turn_bytes = 0
        self._writable = self._loop.create_future()
        self._poller.add_writer(self._fileno, self._room)
        self.write_deadline = self._loop.time() + self.write_patience
        try:
            await self._writable
        finally:
            self._writable = None
            self.write_deadline = NEVER
            if not self.closed:
                self._poller.remove_writer(self._fileno)
        if self.closed:
            raise ClientGoneError

    def _room(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def take_writing_turn(self, sent: int) -> None:
        """Lets others work after each megabyte that went out without a wait."""
        self._turn_bytes += sent
        if self._turn_bytes >= _TURN_BYTES:
            self._turn_bytes = 0
            await asyncio.sleep(0)

    # -- the end -----------------------------------------------------------------------------------

    def abort(self) -> None:
        """Closes with a reset: what was not taken is thrown away, nothing can look complete."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self.channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """Whoever still waits learns it now."""
        if self.closed:
            return
        self.closed = True
        self.pause_input()
        self._poller.remove_writer(self._fileno)
        self.channel.socket.close()
        self.wake_reader()
        self._room()
        self._on_closed()
