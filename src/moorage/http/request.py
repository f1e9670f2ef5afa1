# SPDX-License-Identifier: Apache-2.0
"""What a client sent: line, headers, and a body that is read as it arrives and only on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from moorage.spec.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.http.types import RawHeaders, Receive, Scope

# The longest legitimate query carries some sixty tags; this only keeps parsing linear.
MAX_QUERY_FIELDS = 1000


class ClientDisconnected(Exception):
    """The client went away in the middle of its request."""


class BodyTooLarge(Exception):
    """The body is longer than the caller allows."""


class Request:
    """One HTTP request.

    `path` is percent-decoded once and has lost the prefix that the registry is mounted at; it is
    not yet checked in any way.
    """

    __slots__ = (
        "_query",
        "_receive",
        "error",
        "headers",
        "id",
        "method",
        "path",
        "peer",
        "principal",
        "received",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive, request_id: str) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: RawHeaders = scope["headers"]
        self.id = request_id
        client = scope.get("client")
        self.peer: str = client[0] if client else ""
        self.principal = ""
        self.error = ""
        self.received = 0
        self._receive = receive
        self._query: dict[str, list[str]] | None = None

    def header(self, name: bytes) -> str | None:
        """The first header of this (lower-case) name, or None."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def header_values(self, name: bytes) -> list[str]:
        """All headers of this name: clients send `Accept` on several lines."""
        return [value.decode("latin-1") for key, value in self.headers if key == name]

    @property
    def content_length(self) -> int | None:
        """What the client announced; the server has checked that it is a number."""
        value = self.header(b"content-length")
        return int(value) if value is not None and value.isdecimal() else None

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's fields, decoded; several of one name in the order they came.

        Raises:
            RequestInvalid: there are absurdly many.
        """
        if self._query is None:
            fields: dict[str, list[str]] = {}
            raw = self.scope["query_string"]
            if raw:
                for name, value in _parse_query(raw.decode("latin-1")):
                    fields.setdefault(name, []).append(value)
            self._query = fields
        return self._query

    def query_value(self, name: str) -> str | None:
        """The first field of this name, or None."""
        values = self.query.get(name)
        return values[0] if values else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece, as it arrives.

        Raises:
            ClientDisconnected: it broke off; what was yielded is all that came.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            if piece:
                self.received += len(piece)
                yield piece

    async def body(self, limit: int) -> bytes:
        """The whole body, for what is small by nature.

        Raises:
            BodyTooLarge: it is longer than `limit` bytes; the rest is not read.
            ClientDisconnected: it broke off.
        """
        if (self.content_length or 0) > limit:
            raise BodyTooLarge
        pieces: list[bytes] = []
        async for piece in self.pieces():
            pieces.append(piece)
            if self.received > limit:
                raise BodyTooLarge
        return b"".join(pieces)


def _parse_query(raw: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw, keep_blank_values=True, errors="replace", max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        message = f"the query has more than {MAX_QUERY_FIELDS} fields: send fewer at a time"
        raise RequestInvalid(message) from None
