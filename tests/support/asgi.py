# SPDX-License-Identifier: Apache-2.0
"""Requests to an ASGI application in this very process: no server, no socket, no thread.

A body can be sent piece by piece, held back or broken off between two pieces, so that a test
decides exactly what has arrived at any moment. Between two calls nothing moves: background tasks
run only while a request does.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

from moorage.app import create_app
from moorage.settings import load
from tests.support.registry import merge
from tests.support.wire import Answer, Headers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from moorage.http.types import ASGIApp, Message, Scope
    from moorage.storage.protocol import AppendableStore, ExtentStore
    from tests.support.wire import Header

ZERO_COPY = "http.response.zerocopysend"
# Who neither replies nor asks for more of the body for so long is stuck, however busy the machine.
STUCK_SECONDS = 60.0


def registry_app(
    folder: Path,
    config: Mapping[str, object] | None = None,
    store: AppendableStore | ExtentStore | None = None,
) -> ASGIApp:
    """The whole registry with its data in a folder; `config` is merged over the defaults."""
    defaults: dict[str, object] = {
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
        }
    }
    path = folder / "config.yml"
    path.write_text(json.dumps(merge(defaults, config or {})))
    return create_app(load(path, {}).settings, store=store)


class Unanswered(Exception):
    """The application ended without a reply."""


class Pending:
    """A request whose body is on its way."""

    def __init__(
        self, app: ASGIApp, scope: Scope, run: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._app = app
        self._scope = scope
        self._run = run
        self._arrived: deque[Message] = deque()
        self._more = asyncio.Event()
        self._moved = asyncio.Event()
        self._sent: list[Message] = []
        self._task: asyncio.Future[None] | None = None

    def send(self, *pieces: bytes) -> None:
        """Let pieces of the body arrive; return when the application has taken them all."""
        self.arrive(
            *({"type": "http.request", "body": piece, "more_body": True} for piece in pieces)
        )

    def finish(self, piece: bytes = b"") -> Answer:
        """Let the last piece arrive; return the reply."""
        self.arrive({"type": "http.request", "body": piece, "more_body": False})
        return self.answer

    def cut(self) -> None:
        """Break the connection; return when the application has noticed."""
        self.arrive({"type": "http.disconnect"})
        assert self.over, "the application goes on although its client has left"

    def arrive(self, *messages: Message) -> None:
        """Hand over messages; return when the application has taken them all or is done."""
        self._arrived.extend(messages)
        self._run(self._until_quiet())
        if self.over and self._task is not None:
            self._task.result()

    @property
    def over(self) -> bool:
        """Whether the application is done with the request."""
        return self._task is not None and self._task.done()

    @property
    def sent(self) -> list[str]:
        """The types of the messages that the application has sent so far."""
        return [message["type"] for message in self._sent]

    @property
    def answer(self) -> Answer:
        """The reply, which must be complete."""
        assert self.over, "the application still waits for something"
        if not self._sent:
            raise Unanswered
        start, *bodies = self._sent
        assert start["type"] == "http.response.start"
        assert [body.get("more_body", False) for body in bodies] == [True] * (len(bodies) - 1) + [
            False
        ], "the reply was not ended, or more than once"
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
        ]
        return Answer(start["status"], Headers(pairs), b"".join(body["body"] for body in bodies))

    async def _until_quiet(self) -> None:
        if self._task is None:
            application = self._app(self._scope, self._receive, self._send)
            self._task = asyncio.ensure_future(application)
        self._moved.clear()
        self._more.set()
        moved = asyncio.ensure_future(self._moved.wait())
        steps: set[asyncio.Future[Any]] = {self._task, moved}
        done, _ = await asyncio.wait(
            steps, return_when=asyncio.FIRST_COMPLETED, timeout=STUCK_SECONDS
        )
        assert done, "the application is stuck"
        moved.cancel()

    async def _receive(self) -> Message:
        while not self._arrived:
            self._more.clear()
            self._moved.set()
            await self._more.wait()
        return self._arrived.popleft()

    async def _send(self, message: Message) -> None:
        if message["type"] == ZERO_COPY:
            body = os.pread(message["file"], message["count"], message["offset"])
            message = {
                "type": "http.response.body",
                "body": body,
                "more_body": message.get("more_body", False),
            }
        self._sent.append(message)


class InProcess:
    """A client of an application that it starts and ends."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        extensions: Sequence[str] = (),
        peer: str = "127.0.0.1",
    ) -> None:
        self._app = app
        self._extensions: dict[str, dict[str, object]] = {name: {} for name in extensions}
        self._peer = peer
        self._runner = asyncio.Runner()
        self._lifespan = Pending(app, {"type": "lifespan", "asgi": {"version": "3.0"}}, self._run)

    def begin(self, method: str, target: str, *headers: Header) -> Pending:
        """A request whose body is sent by the caller, as it likes."""
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in (("Host", "registry"), *headers)
            ],
            "client": (self._peer, 50000) if self._peer else None,
            "server": ("127.0.0.1", 5000),
            "state": {},
            "extensions": self._extensions,
        }
        return Pending(self._app, scope, self._run)

    def request(self, method: str, target: str, *headers: Header, body: bytes = b"") -> Answer:
        """A whole request with a Content-Length, and its reply."""
        sent = ("Content-Length", str(len(body)))
        return self.begin(method, target, sent, *headers).finish(body)

    def cut(self, method: str, target: str, *headers: Header, pieces: Sequence[bytes] = ()) -> None:
        """A request that breaks off after the given pieces of its body."""
        pending = self.begin(method, target, *headers)
        pending.send(*pieces)
        if not pending.over:
            pending.cut()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self._lifespan.arrive({"type": "lifespan.startup"})
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._lifespan.arrive({"type": "lifespan.shutdown"})
        finally:
            self._runner.__exit__(None, None, None)

    def _run(self, step: Coroutine[Any, Any, None]) -> None:
        self._runner.run(step)
