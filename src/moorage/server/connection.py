# SPDX-License-Identifier: Apache-2.0
"""One client's connection: reads heads, runs exchange after exchange, and ends in good manners.

Requests that were sent ahead (pipelining) wait until their turn. A response that can be read is
never destroyed by a reset: before closing, what the client still sends is read and dropped for a
while. What happens inside one request is the exchange's business, how bytes travel the wire's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final

from moorage.server.asgi import RefusedError
from moorage.server.channel import HandshakeError, NotTLSError
from moorage.server.exchange import Exchange
from moorage.server.request_body import Body, body_of
from moorage.server.request_head import (
    check_beginning,
    check_together,
    parse_fields,
    parse_request_line,
)
from moorage.server.response_head import short_response
from moorage.server.wire import NEVER, Wire

if TYPE_CHECKING:
    from moorage.server.asgi import Scope
    from moorage.server.channel import Channel
    from moorage.server.request_head import Fields
    from moorage.server.server import Server

_HEAD_READ_BYTES: Final = 64 * 1024
_CARRIAGE_RETURN: Final = 13

_LINGER_SECONDS: Final = 5.0
_LINGER_SECONDS_DRAINING: Final = 1.0
_LINGER_BYTES: Final = 32 * 1024 * 1024
"""Dropped after an answer that came early (nginx: up to 30 s, without a bound on bytes). Clients
that read no response before their whole body is sent, as Python's requests, get it for bodies up to
this size."""

_PLAIN_HTTP_ANSWER: Final = short_response(
    400, "this port speaks HTTPS: use https:// in the address"
)

Address = tuple[str, int] | None


class Connection:
    """See the module."""

    __slots__ = (
        "_discarding", "_fields", "_fields_block", "_linger_left", "_loop", "_task", "address",
        "buffer", "client", "exchange", "server", "wire",
    )  # fmt: skip

    def __init__(self, server: Server, channel: Channel, client: Address, address: Address) -> None:
        self.server = server
        self.client = client
        self.address = address
        self.exchange: Exchange | None = None
        self.buffer = b""
        """Received, and not yet part of anything: a head's beginning, or what followed the last
        body."""
        self._loop = server.loop
        self._task: asyncio.Task[None] | None = None
        self._fields: Fields | None = None
        self._fields_block = b""
        self._discarding: Body | None = None
        self._linger_left = 0
        self.wire = Wire(
            server.loop,
            server.poller,
            channel,
            write_patience=server.limits.body_seconds,
            on_input=self._on_input,
            on_closed=self._on_closed,
        )
        self.wire.read_deadline = self._loop.time() + server.limits.header_seconds

    @property
    def idle(self) -> bool:
        """Between two requests, with nothing received of the next."""
        return self.exchange is None and not self._linger_left and not self.buffer

    @property
    def idle_since(self) -> float:
        """When it became idle."""
        limits = self.server.limits
        patience = limits.header_seconds if self._task is None else limits.idle_seconds
        return self.wire.read_deadline - patience

    def _on_closed(self) -> None:
        self.server.forget(self)

    # -- reading heads -----------------------------------------------------------------------------

    def _on_input(self) -> None:
        if self.exchange is not None:
            self.wire.pause_input()  # until the exchange asks for it, or is over
        elif self._linger_left:
            self._drop_input()
        else:
            self._read_head()

    def _read_head(self) -> None:
        try:
            data = self.wire.channel.recv(_HEAD_READ_BYTES)
        except BlockingIOError:
            return
        except NotTLSError:
            self._turn_away(_PLAIN_HTTP_ANSWER)
        except HandshakeError:
            self._turn_away(b"")
        except OSError:
            self.wire.close()
        else:
            if not data:
                self.wire.close()
            elif self._discarding is not None:
                self._discard(data)
            else:
                self._head_received(self.buffer + data if self.buffer else data)

    def _head_received(self, data: bytes) -> None:
        if data[0] == _CARRIAGE_RETURN:
            # RFC 9112, 2.2: a server SHOULD ignore an empty line before the request line
            data = data.lstrip(b"\r\n")
        end = data.find(b"\r\n\r\n")
        try:
            if end < 0 or end > self.server.limits.header_bytes:
                self._head_unfinished(data)
            else:
                self._begin(data, end)
        except RefusedError as refusal:
            self.refuse(refusal.status, refusal.reason)

    def _head_unfinished(self, data: bytes) -> None:
        limits = self.server.limits
        if not self.buffer:
            self.wire.read_deadline = self._loop.time() + limits.header_seconds
        self.buffer = data
        if data:
            check_beginning(
                data,
                header_bytes=limits.header_bytes,
                request_line_bytes=limits.request_line_bytes,
            )

    def _begin(self, data: bytes, end: int) -> None:
        line_end = data.find(b"\r\n")
        if line_end > self.server.limits.request_line_bytes:
            raise RefusedError(414, "the request line is too long")
        method, path, raw_path, query, version = parse_request_line(data, line_end)
        fields = self._parse_fields(data[line_end + 2 : end])
        check_together(version, fields)
        self.buffer = data[end + 4 :]
        self.wire.read_deadline = NEVER
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": version,
            "method": method,
            "scheme": "https" if self.wire.channel.encrypted else "http",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": list(fields.headers),
            "client": self.client,
            "server": self.address,
            "state": self.server.state.copy(),
            "extensions": self.server.extensions,
        }
        self.exchange = exchange = Exchange(self, scope, fields, body_of(fields))
        # made directly: uvloop's create_task costs at least 0.3 microseconds more
        self._task = asyncio.Task(exchange.run(), loop=self._loop, name="exchange")

    def _parse_fields(self, block: bytes) -> Fields:
        """A client repeats its fields request after request: the last block is remembered."""
        if self._fields is None or block != self._fields_block:
            self._fields = parse_fields(block)
            self._fields_block = block
        return self._fields

    # -- between exchanges -------------------------------------------------------------------------

    def exchange_complete(self, exchange: Exchange) -> None:
        """The whole response is with the kernel: go on to the next request, or close."""
        wire = self.wire
        self.exchange = None
        wire.wake_reader()
        if wire.closed:
            return
        if not exchange.keep_alive or wire.peer_finished or self.server.draining:
            self.linger()
            return
        wire.read_deadline = self._loop.time() + self.server.limits.idle_seconds
        wire.resume_input()
        if self.server.crowded:
            self.server.start_accepting()
        if not exchange.body.done:
            self._discarding = exchange.body
        if self.buffer:
            data, self.buffer = self.buffer, b""
            if self._discarding is not None:
                self._discard(data)
            else:
                self._head_received(data)

    def _discard(self, data: bytes) -> None:
        """Drops the rest of a body nobody wanted; it is known to be small."""
        if self._discarding is not None:
            _, rest = self._discarding.take(data)
            if self._discarding.done:
                self._discarding = None
            if rest:
                self._head_received(rest)

    # -- the end -----------------------------------------------------------------------------------

    def refuse(self, status: int, reason: str) -> None:
        """Answers in the server's own words and closes."""
        if self.exchange is not None:
            self.exchange.cut_off()
        with contextlib.suppress(OSError):
            self.wire.channel.send(short_response(status, reason))
        self.linger()

    def _turn_away(self, answer: bytes) -> None:
        """Ends a connection on which no TLS came about."""
        with contextlib.suppress(OSError):
            self.wire.channel.socket.send(answer)
            self.wire.channel.socket.shutdown(socket.SHUT_WR)
        self._start_lingering()

    def linger(self) -> None:
        """Closes in a way that lets the client read everything that was sent (RFC 9112, 9.6)."""
        if self.wire.closed:
            return
        try:
            self.wire.channel.finish_sending()
        except OSError:
            self.wire.close()
        else:
            self._start_lingering()

    def _start_lingering(self) -> None:
        self.exchange = None
        self.buffer = b""
        self._linger_left = _LINGER_BYTES
        self.wire.wake_reader()
        if self.wire.peer_finished:
            self.wire.close()
            return
        seconds = _LINGER_SECONDS_DRAINING if self.server.draining else _LINGER_SECONDS
        self.wire.read_deadline = self._loop.time() + seconds
        self.wire.resume_input()
        self._drop_input()

    def _drop_input(self) -> None:
        try:
            count = self.wire.channel.socket.recv_into(self.server.waste)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        self._linger_left -= count
        if not count or self._linger_left <= 0:
            self.wire.close()

    def check_deadlines(self, now: float) -> None:
        """Ends a wait for the client that took too long."""
        wire, exchange = self.wire, self.exchange
        if now >= wire.write_deadline:
            wire.abort()
        elif now >= wire.read_deadline:
            if exchange is not None and exchange.started:
                wire.abort()
            elif exchange is not None or self.buffer:
                self.refuse(408, "the request did not arrive in time")
            else:
                wire.close()
