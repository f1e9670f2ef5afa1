# SPDX-License-Identifier: Apache-2.0
"""One request and its response, as the application sees them: `receive` and `send` of ASGI.

The order of a response's messages and the promises of its head are enforced here. A body that was
cut off is `http.disconnect`, never an end; a response that cannot be finished cuts the connection,
never looks complete. How bytes travel is the connection's business.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Final

from moorage.server.asgi import ClientGoneError, Message, RefusedError, Scope
from moorage.server.response_head import NO_CONTENT, NOT_MODIFIED, response_head
from moorage.server.sending_files import FilePart, send_file
from moorage.server.wire import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moorage.server.connection import Connection
    from moorage.server.request_body import Body
    from moorage.server.request_head import Fields

logger = logging.getLogger("moorage.server")

_DISCARD_BYTES: Final = 256 * 1024
"""Of an unread body dropped to keep a connection open (Go: 256 KiB); a longer one closes it."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """See the module."""

    __slots__ = (
        "_announced", "_awaiting_continue", "_bodyless", "_chunked", "_complete", "_connection",
        "_cut", "_head", "_length", "_scope", "body", "keep_alive", "started",
    )  # fmt: skip

    def __init__(self, connection: Connection, scope: Scope, fields: Fields, body: Body) -> None:
        self._connection = connection
        self._scope = scope
        self.body = body
        self.keep_alive = scope["http_version"] == "1.1" and not fields.close
        self.started = False
        self._awaiting_continue = fields.expects_continue and not body.done
        self._announced = False
        self._complete = False
        self._cut = False
        self._bodyless = False
        self._chunked = False
        self._head = b""
        self._length: int | None = None

    async def run(self) -> None:
        """Runs the application and makes sure that the client gets a whole response or none."""
        try:
            await self._connection.server.app(self._scope, self.receive, self.send)
        except ClientGoneError:
            pass
        except Exception:
            logger.exception(
                "the application failed: %s %s", self._scope["method"], self._scope["path"]
            )
        finally:
            if not self._over:
                self._end_incomplete()

    def _end_incomplete(self) -> None:
        wire = self._connection.wire
        if self.started:
            wire.abort()
        elif wire.closed or (wire.peer_finished and not self.body.done):
            wire.close()
        else:
            self._connection.refuse(500, "internal server error")

    @property
    def _over(self) -> bool:
        return self._complete or self._cut

    def cut_off(self) -> None:
        """The server answered by itself: the application is on its own."""
        self._cut = True

    # -- the request's body ------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The next piece of the body as the kernel gave it, at the end `http.disconnect`."""
        body, connection = self.body, self._connection
        if self._announced or self._over:
            await self._wait_until_over()
            return {"type": "http.disconnect"}
        piece = b""
        while not (piece or body.done):
            if not (data := await self._more()):
                return {"type": "http.disconnect"}
            try:
                piece, connection.buffer = body.take(data)
            except RefusedError as refusal:
                self._refuse(refusal)
                return {"type": "http.disconnect"}
        self._announced = body.done
        return {"type": "http.request", "body": piece, "more_body": not body.done}

    async def _more(self) -> bytes:
        """What the client sent next; empty when that will be nothing."""
        connection, wire = self._connection, self._connection.wire
        if connection.buffer:
            data, connection.buffer = connection.buffer, b""
            self._awaiting_continue = False
            return data
        if self._awaiting_continue:
            self._awaiting_continue = False
            with contextlib.suppress(ClientGoneError):
                await wire.write(_CONTINUE)
        await wire.take_reading_turn()
        while not self._over:
            if (received := wire.read_now()) is not None:
                return received
            await wire.wait_for_input(connection.server.limits.body_seconds)
        return b""

    async def _wait_until_over(self) -> None:
        """Returns when the client has left or the exchange is complete."""
        connection, wire = self._connection, self._connection.wire
        while not (self._over or wire.closed or wire.peer_finished):
            if connection.buffer:  # a request sent ahead hides whether the client is still there
                wire.pause_input()
                await wire.wait_for_wake()
            elif (received := wire.read_now()) is not None:
                connection.buffer = received
            else:
                await wire.wait_for_input(NEVER)

    def _refuse(self, refusal: RefusedError) -> None:
        if self.started:
            self._connection.wire.abort()
        else:
            self._connection.refuse(refusal.status, refusal.reason)

    # -- the response ------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Returns when the message's bytes are with the kernel; a head waits for its body."""
        if self._cut or self._connection.wire.closed:
            raise ClientGoneError
        kind = message["type"]
        if kind == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif not self.started or self._complete:
            raise RuntimeError(f"{kind} is out of order: the response has not begun or is over")
        elif kind == "http.response.body":
            last = not message.get("more_body", False)
            content = self._framed(message.get("body", b""), last=last)
            if content and not self._connection.wire.write_now(content):
                await self._connection.wire.write_rest()
            if last:
                self._finish()
        elif kind == "http.response.zerocopysend":
            await self._send_file(message)
        else:
            raise RuntimeError(f"this server does not know the message {kind}")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self.started:
            raise RuntimeError("the response has already begun")
        scope, server = self._scope, self._connection.server
        self._bodyless = scope["method"] == "HEAD" or status in (NO_CONTENT, NOT_MODIFIED)
        head = response_head(
            server.preamble(status),
            status,
            headers,
            bodyless=self._bodyless,
            version=scope["http_version"],
            keep_alive=self.keep_alive and server.keeps_connections and self._may_stay_open(),
        )
        self._head, self._length, self._chunked, self.keep_alive = head
        self.started = True

    def _may_stay_open(self) -> bool:
        """Whether the rest of the request's body is little enough to be read for nothing."""
        if self.body.done:
            return True
        remaining = self.body.remaining
        return not self._awaiting_continue and remaining is not None and remaining <= _DISCARD_BYTES

    def _framed(self, content: bytes, *, last: bool) -> bytes:
        """The bytes for a piece of the body, with the head in front of the first."""
        if self._bodyless:
            content = b""
        elif self._chunked:
            ending = b"0\r\n\r\n" if last else b""
            chunk = b"%x\r\n%b\r\n" % (len(content), content) if content else b""
            content = chunk + ending
        else:
            self._account(len(content), last=last)
        if self._head:
            content = self._head + content if content else self._head
            self._head = b""
        return content

    async def _send_file(self, message: Message) -> None:
        part = FilePart.of(message)
        last = not message.get("more_body", False)
        before, after = self._head, b""
        self._head = b""
        if self._bodyless:
            await self._connection.wire.write(before)
        else:
            self._account(part.count, last=last)
            if self._chunked:
                before += b"%x\r\n" % part.count if part.count else b""
                after = (b"\r\n" if part.count else b"") + (b"0\r\n\r\n" if last else b"")
            await send_file(self._connection.wire, before, part)
            if after:
                await self._connection.wire.write(after)
        if last:
            self._finish()

    def _account(self, count: int, *, last: bool) -> None:
        if self._length is None:
            return
        self._length -= count
        if self._length < 0 or (last and self._length > 0):
            self._connection.wire.abort()
            size = "longer" if self._length < 0 else "shorter"
            raise RuntimeError(f"the response is {size} than its Content-Length")

    def _finish(self) -> None:
        self._complete = True
        self._connection.exchange_complete(self)
