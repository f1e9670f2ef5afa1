# SPDX-License-Identifier: Apache-2.0
"""The shapes of ASGI that this package speaks, and the two exceptions of its border.

A message is a dictionary because the ASGI specification says so; its values are typed where they
are read. Nothing here knows about sockets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientGoneError(ConnectionError):
    """Raised by `send` when nobody is there to read (ASGI 2.4 wants an OSError)."""

    def __init__(self) -> None:
        super().__init__("the client closed the connection before it had the whole response")


class RefusedError(Exception):
    """The bytes received are no acceptable HTTP request: answer with `status` and close."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
