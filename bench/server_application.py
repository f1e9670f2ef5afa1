# SPDX-License-Identifier: Apache-2.0
"""The tiny ASGI application that bench/servers.py puts under every server.

It does what a registry does with bytes and nothing else: a small reply, an upload that is hashed
and written, a file in pieces, a file the server's own way. Its files are named by the environment.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

PIECE = 256 * 1024
SMALL_BODY = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'.ljust(
    500
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answers /small, PUT /upload, /pieces (256 KiB pieces) and /file (the server's own way)."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path == "/small":
        await _start(send, 200, len(SMALL_BODY))
        await send({"type": "http.response.body", "body": SMALL_BODY})
    elif path == "/upload":
        await _take(receive, send)
    elif path == "/pieces":
        await _pieces(send)
    else:
        await _whole_file(scope, send)


async def _start(send: Send, status: int, length: int) -> None:
    headers = [
        (b"content-type", b"application/vnd.oci.image.manifest.v1+json"),
        (b"content-length", b"%d" % length),
        (b"docker-distribution-api-version", b"registry/2.0"),
        (b"docker-content-digest", b"sha256:" + b"0" * 64),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _take(receive: Receive, send: Send) -> None:
    hasher = hashlib.sha256()
    target = os.open(os.environ["BENCH_UPLOAD"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        piece = message["body"]
        hasher.update(piece)
        os.write(target, piece)
        more = message["more_body"]
    os.close(target)
    digest = hasher.hexdigest().encode()
    await _start(send, 201, len(digest))
    await send({"type": "http.response.body", "body": digest})


async def _pieces(send: Send) -> None:
    with open(os.environ["BENCH_FILE"], "rb", buffering=0) as file:
        await _start(send, 200, os.fstat(file.fileno()).st_size)
        while piece := file.read(PIECE):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _whole_file(scope: Message, send: Send) -> None:
    extensions = scope.get("extensions") or {}
    path = os.environ["BENCH_FILE"]
    size = os.stat(path).st_size
    if "http.response.zerocopysend" in extensions:
        with open(path, "rb", buffering=0) as file:
            await _start(send, 200, size)
            await send(
                {"type": "http.response.zerocopysend", "file": file, "offset": 0, "count": size}
            )
    elif "http.response.pathsend" in extensions:
        await _start(send, 200, size)
        await send({"type": "http.response.pathsend", "path": path})
    else:
        await _pieces(send)


def application() -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """The factory that servers are given."""
    return app


def fast_loop() -> Any:
    """A uvloop whose transports are aiofastnet's."""
    import aiofastnet
    import uvloop

    return aiofastnet.loop_factory(uvloop.new_event_loop)()
