# SPDX-License-Identifier: Apache-2.0
"""The program that test_serve starts: a small application under `serve`, as told by JSON.

It prints `ready ADDRESS` when it answers, and what happens in its lifespan.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moorage.server import ServerOptions, TLSOptions, serve

if TYPE_CHECKING:
    from moorage.server.asgi import ASGIApp, Message, Receive, Scope, Send


def say(text: str) -> None:
    """One line, at once."""
    os.write(1, f"{text}\n".encode())


class Application:
    """Answers with its process; /slow/SECONDS takes its time, /die ends the worker."""

    def __init__(self, behaviour: dict[str, Any]) -> None:
        self._behaviour = behaviour

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._answer(scope, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if self._behaviour.get("startup") == "failed":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        if self._behaviour.get("startup") == "raise":
            raise RuntimeError("no disk")
        scope["state"]["answer"] = f"{os.getpid()}"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, send: Send) -> None:
        _, what, *how = scope["path"].split("/")
        if what == "die":
            os._exit(7)
        if what == "slow":
            say("working")
            await asyncio.sleep(float(how[0]))
        draining = scope["state"]["server"].draining
        text = f"{scope['state']['answer']} {'draining' if draining else 'serving'}".encode()
        headers = [(b"content-length", b"%d" % len(text))]
        start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": text})


def main() -> int:
    """Serves as the first argument says."""
    behaviour = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    given = behaviour.get("options", {})
    if "tls" in given:
        certificate, *key = map(Path, given["tls"])
        given["tls"] = TLSOptions(certificate, key[0] if key else None, reload_seconds=0.1)
    if "unix_socket" in given:
        given["unix_socket"] = Path(given["unix_socket"])

    def application() -> ASGIApp:
        if behaviour.get("startup") == "factory":
            raise RuntimeError("no settings")
        return Application(behaviour)

    options = ServerOptions(
        **{"port": 0, "drain_seconds": 20.0, **given},
        on_ready=lambda addresses: say(f"ready {addresses[0]}"),
    )
    return serve(application, options)


if __name__ == "__main__":
    sys.exit(main())
