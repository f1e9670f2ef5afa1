# SPDX-License-Identifier: Apache-2.0
"""One process's server: accepts connections, watches their deadlines, and drains.

It owns the set of open connections. One sweep enforces all time limits: arming and cancelling a
timer costs more than half a microsecond, noting a deadline a tenth of that. Sockets come in open,
the application comes in ready; signals and processes belong to `serve` and `supervisor`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from moorage.server.channel import Channel, PlainChannel, TLSBuffers, TLSChannel
from moorage.server.connection import Address, Connection
from moorage.server.poller import Poller
from moorage.server.response_head import preamble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.server.asgi import ASGIApp
    from moorage.server.options import ConnectionLimits
    from moorage.server.tls import Certificates

logger = logging.getLogger("moorage.server")

_ACCEPT_BATCH: Final = 16
"""Accepted in one turn: the connections already open have theirs in between."""

_LAST_REQUESTS_SECONDS: Final = 0.05
"""At the end, for what has been sent to us to be read; only then an idle connection is idle."""

_WASTE_BYTES: Final = 64 * 1024
_RETRY_SECONDS: Final = 1.0
"""After the process ran out of file descriptors (asyncio waits as long)."""


class Server:
    """Serves one application on listening sockets."""

    def __init__(
        self,
        app: ASGIApp,
        listeners: Sequence[socket.socket],
        *,
        limits: ConnectionLimits,
        certificates: Certificates | None,
        state: dict[str, Any],
    ) -> None:
        self.app = app
        self.limits = limits
        self.state = state
        self.extensions: dict[str, dict[str, Any]] = {"http.response.zerocopysend": {}}
        self.draining = False
        self.keeps_connections = True
        """Responses leave the connection open for the next request."""
        self.crowded = False
        """New connections wait because all are busy."""
        self.waste = bytearray(_WASTE_BYTES)
        self.loop = asyncio.get_running_loop()
        self.poller = Poller(self.loop)
        self._listeners = list(listeners)
        self._certificates = certificates
        self._buffers = TLSBuffers()
        self._connections: dict[Connection, None] = {}  # a set that remembers the order of arrival
        self._accepting = False
        self._all_closed: asyncio.Future[None] | None = None
        self._preambles: dict[int, bytes] = {}
        self._sweep_seconds = sweep_interval(limits)
        self._next_sweep = self.loop.call_later(self._sweep_seconds, self._sweep)
        self._next_second = self.loop.call_later(0, self._new_second)

    # -- what connections use ----------------------------------------------------------------------

    def preamble(self, status: int) -> bytes:
        """Status line and Date, made once a second."""
        opening = self._preambles.get(status)
        if opening is None:
            opening = self._preambles[status] = preamble(status, time.time())
        return opening

    def forget(self, connection: Connection) -> None:
        """The connection is closed."""
        self._connections.pop(connection, None)
        if self._all_closed is not None:
            if not self._connections and not self._all_closed.done():
                self._all_closed.set_result(None)
        elif self.crowded:
            self.start_accepting()

    # -- accepting ---------------------------------------------------------------------------------

    def start_accepting(self) -> None:
        """New connections are welcome, unless draining."""
        if not self._accepting and not self.draining:
            self._accepting = True
            self.crowded = False
            for listener in self._listeners:
                self.loop.add_reader(listener.fileno(), self._accept, listener)

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            for listener in self._listeners:
                self.loop.remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_BATCH):
            full = len(self._connections) >= self.limits.connections
            if full and not any(connection.idle for connection in self._connections):
                self._stop_accepting()
                self.crowded = True
                return
            try:
                connected, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._cannot_accept(error)
                return
            if full:
                self._make_room()
            self._open(connected, peer)

    def _accept_all(self, listener: socket.socket) -> None:
        """Takes every connection that waits, unless there are too many."""
        before = -1
        while len(self._connections) != before:
            before = len(self._connections)
            self._accept(listener)

    def _cannot_accept(self, error: OSError) -> None:
        logger.error("cannot accept connections: %s; raise the limit of open files", error.strerror)
        self._make_room()
        self._stop_accepting()
        self.loop.call_later(_RETRY_SECONDS, self.start_accepting)

    def _open(self, connected: socket.socket, peer: Any) -> None:
        connected.setblocking(False)
        client: Address = None
        address: Address = None
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client, address = peer[:2], connected.getsockname()[:2]
        channel: Channel
        if self._certificates is None:
            channel = PlainChannel(connected)
        else:
            channel = TLSChannel(connected, self._certificates.context, self._buffers)
        self._connections[Connection(self, channel, client, address)] = None

    def _make_room(self) -> None:
        """Closes the connections that have been idle longest, a hundredth of all at a time."""
        idle = [connection for connection in self._connections if connection.idle]
        idle.sort(key=lambda connection: connection.idle_since)
        for connection in idle[: max(1, self.limits.connections // 100)]:
            connection.wire.close()

    # -- time --------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in [
            each
            for each in self._connections
            if each.wire.read_deadline <= now or each.wire.write_deadline <= now
        ]:
            connection.check_deadlines(now)
        self._next_sweep = self.loop.call_later(self._sweep_seconds, self._sweep)

    def _new_second(self) -> None:
        self._preambles.clear()
        self._next_second = self.loop.call_later(1 - time.time() % 1, self._new_second)

    # -- the end -----------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> int:
        """Accepts nothing new, lets requests in flight finish, and says how many did not within
        `seconds`.
        """
        self.draining = True
        self.keeps_connections = False
        self._stop_accepting()
        for listener in self._listeners:
            # Who has been let in by the kernel is not turned away: their requests may be here.
            self._accept_all(listener)
            listener.close()
        await asyncio.sleep(_LAST_REQUESTS_SECONDS)
        for connection in [each for each in self._connections if each.idle]:
            connection.wire.close()
        self._all_closed = self.loop.create_future()
        if self._connections:
            await asyncio.wait([self._all_closed], timeout=seconds)
        return self.stop()

    def stop(self) -> int:
        """Cuts what is still open; returns how many requests that interrupted."""
        self.draining = True
        self._stop_accepting()
        self._next_sweep.cancel()
        self._next_second.cancel()
        left = list(self._connections)
        busy = [connection for connection in left if connection.exchange is not None]
        for connection in left:
            connection.wire.abort()
        self.poller.close()
        return len(busy)


def sweep_interval(limits: ConnectionLimits) -> float:
    """Often enough for the shortest limit to be kept within a quarter, at most once a second."""
    shortest = min(limits.header_seconds, limits.idle_seconds, limits.body_seconds)
    return min(1.0, max(0.05, shortest / 4))
