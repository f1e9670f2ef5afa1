# SPDX-License-Identifier: Apache-2.0
"""The application's life around its requests: started before the first, shut down after the last.

An application that fails to start is not served. Unlike ASGI's general rule, one that raises on the
lifespan scope has failed too: ours always speaks it, and a failure must not pass for a missing
feature.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moorage.server.asgi import ASGIApp, Message, Scope

logger = logging.getLogger("moorage.server")


class StartupError(Exception):
    """The application did not start."""


def describe(error: BaseException) -> str:
    """An error in one line, for people; its traceback is logged at the debug level."""
    text = str(error)
    return text if " " in text else f"{type(error).__name__} {text}".rstrip()


class Lifespan:
    """Runs the application's lifespan scope in a task of its own."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Returns when the application is ready; raises StartupError."""
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        self._task = asyncio.create_task(self._run(scope))
        answer = await self._ask("startup")
        if answer["type"] != "lifespan.startup.complete":
            raise StartupError(answer.get("message") or "the application failed to start")

    async def shutdown(self) -> bool:
        """Returns when the application has put everything away; False when it failed to."""
        answer = await self._ask("shutdown")
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if answer["type"] == "lifespan.shutdown.complete":
            return True
        logger.error("the application failed to shut down: %s", answer.get("message", ""))
        return False

    async def _ask(self, event: str) -> Message:
        await self._events.put({"type": f"lifespan.{event}"})
        return await self._answers.get()

    async def _run(self, scope: Scope) -> None:
        message = "the application returned before it was shut down"
        try:
            await self._app(scope, self._events.get, self._answers.put)
        except Exception as error:
            logger.debug("the application's lifespan failed", exc_info=True)
            message = describe(error)
        await self._answers.put({"type": "lifespan.failed", "message": message})
