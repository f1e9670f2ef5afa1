# SPDX-License-Identifier: Apache-2.0
"""The ASGI application: one request in, one reply out, one line in the log.

A handler is a function from request to reply. What it raises is either a refusal, which the client
is told, or our own fault, which the log is told and the client only by its request id.
"""

from __future__ import annotations

from itertools import count
from secrets import token_hex
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from moorage.http.errors import error_reply
from moorage.http.request import ClientDisconnected, Request
from moorage.spec.errors import OCIError, Unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from moorage.http.replies import Reply
    from moorage.http.types import RawHeaders, Receive, Scope, Send

# nginx's number for a client that left before its reply; it is only ever logged.
CLIENT_CLOSED_REQUEST = 499


class Observer(Protocol):
    """Who is told of what happened."""

    def replied(self, request: Request, status: int, sent: int, seconds: float) -> None:
        """A request is over."""

    def failed(self, request: Request, error: Exception) -> None:
        """A request met a fault of ours."""


class Lifespan(Protocol):
    """What is started before the first request and ended after the last."""

    async def start(self) -> None:
        """Make ready; an error here stops the server."""

    async def stop(self) -> None:
        """Let go of everything."""


class Application:
    """Any ASGI server can run this."""

    def __init__(
        self,
        handler: Callable[[Request], Awaitable[Reply]],
        lifespan: Lifespan,
        observer: Observer,
        headers: RawHeaders,
    ) -> None:
        """`headers` are added to every reply."""
        self._handler = handler
        self._lifespan = lifespan
        self._observer = observer
        self._headers = headers
        self._id_prefix = token_hex(6)
        self._ids = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            message = f"the registry does not speak {scope['type']}"
            raise NotImplementedError(message)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, f"{self._id_prefix}{next(self._ids):08x}")
        began = perf_counter()
        status, sent = CLIENT_CLOSED_REQUEST, 0
        try:
            reply = await self._reply(request)
            reply.headers += self._headers
            await reply.send(scope, send)
            status = reply.status
            sent = 0 if request.method == "HEAD" else reply.length
        except (ClientDisconnected, ConnectionError):
            pass  # nobody is left to be told
        finally:
            self._observer.replied(request, status, sent, perf_counter() - began)

    async def _reply(self, request: Request) -> Reply:
        try:
            return await self._handler(request)
        except OCIError as refusal:
            request.error = refusal.code
            if refusal.status >= 500:  # noqa: PLR2004 (from here on it is the operator's concern)
                self._observer.failed(request, refusal)
            return error_reply(refusal)
        except (ClientDisconnected, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 (the border: a client never sees our faults)
            self._observer.failed(request, error)
            request.error = Unknown.code
            message = f"Something went wrong in the registry; its log has it under {request.id}."
            return error_reply(Unknown(message))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._lifespan.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._lifespan.stop()
        await send({"type": "lifespan.shutdown.complete"})
