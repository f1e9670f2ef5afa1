# SPDX-License-Identifier: Apache-2.0
"""A real server around a test's own tiny application, on an event loop in a thread of this process.

Signals and several processes are not here: `test_serve` starts real programs for those.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import uvloop

from moorage.server.listening import open_listeners
from moorage.server.options import ConnectionLimits, ServerOptions
from moorage.server.server import Server
from moorage.server.tls import Certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from moorage.server.asgi import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")

SECONDS = 20.0
"""How long a test waits for what must happen: generous, because it is only reached on failure."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers requests."""

    port: int
    server: Server
    certificates: Certificates | None

    def ask(self, function: Callable[[], T]) -> T:
        """Calls a function on the server's loop and returns what it returns."""
        answer: Future[T] = Future()
        self.server.loop.call_soon_threadsafe(lambda: answer.set_result(function()))
        return answer.result(SECONDS)

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds on the server's loop."""
        end = time.monotonic() + SECONDS
        while not self.ask(holds):
            assert time.monotonic() < end, "what was waited for did not happen"
            time.sleep(0.005)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self.ask(lambda: len(self.server._connections))

    def drain(self, seconds: float) -> Future[int]:
        """Begins to drain; the result is the number of requests that were cut off."""
        return asyncio.run_coroutine_threadsafe(self.server.drain(seconds), self.server.loop)


@contextlib.contextmanager
def running(
    app: ASGIApp, *, limits: ConnectionLimits | None = None, options: ServerOptions | None = None
) -> Iterator[Running]:
    """Serves `app` while the block runs."""
    options = options or ServerOptions(port=0, limits=limits or ConnectionLimits())
    started: Future[Running] = Future()
    over = threading.Event()
    thread = threading.Thread(target=_serve, args=(app, options, started, over))
    thread.start()
    try:
        yield started.result(SECONDS)
    finally:
        over.set()
        thread.join(SECONDS)
        assert not thread.is_alive()


def _serve(
    app: ASGIApp, options: ServerOptions, started: Future[Running], over: threading.Event
) -> None:
    async def main() -> None:
        certificates = Certificates(options.tls) if options.tls else None
        [listeners] = open_listeners(options)
        name = listeners[0].getsockname()
        server = Server(
            app, listeners, limits=options.limits, certificates=certificates, state={"made": "here"}
        )
        server.start_accepting()
        port = name[1] if isinstance(name, tuple) else 0
        started.set_result(Running(port, server, certificates))
        await asyncio.to_thread(over.wait)
        server.stop()
        for listener in listeners:
            listener.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    try:
        uvloop.run(main())
    except BaseException as error:
        started.set_exception(error)
        raise


async def read_all(receive: Receive) -> bytes | None:
    """The whole body of a request; None when the client left before its end."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def reply(
    send: Send, status: int, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """One plain response."""
    fields = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with method, target and body."""
    body = await read_all(receive)
    if body is not None:
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        first = b"%b %b%b " % (scope["method"].encode(), scope["raw_path"], query)
        await reply(send, 200, first + body)


def collecting(into: list[Message]) -> ASGIApp:
    """An application that keeps every message it receives, and answers when the body is whole."""

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            into.append(message)
            if message["type"] == "http.disconnect":
                return
            if not message["more_body"]:
                await reply(send, 200, b"whole")
                return

    return app
