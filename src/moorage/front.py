# SPDX-License-Identifier: Apache-2.0
"""The front door: which face a path belongs to, and what is written down of each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.access.service import TOKEN_PATH
from moorage.access.token_endpoint import answer_token_request
from moorage.distribution.routes import match
from moorage.http.replies import BytesReply
from moorage.observe.access_log import AccessRecord
from moorage.observe.logs import get_logger
from moorage.spec.errors import NameUnknown, OCIError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from moorage.access.service import AccessService
    from moorage.http.addresses import Addresses
    from moorage.http.replies import Reply
    from moorage.http.request import Request
    from moorage.life import RegistryLife
    from moorage.observe.access_log import AccessLog

_TEXT = b"text/plain; charset=utf-8"


class FrontDoor:
    """Sends each request where it belongs."""

    def __init__(
        self,
        distribution: Callable[[Request], Awaitable[Reply]],
        access: AccessService,
        life: RegistryLife,
        prefix: str,
    ) -> None:
        self._distribution = distribution
        self._access = access
        self._life = life
        self._prefix = prefix

    async def __call__(self, request: Request) -> Reply:
        """The reply of the face that the path belongs to."""
        if self._prefix and request.path.startswith(self._prefix + "/"):
            request.path = request.path[len(self._prefix) :]
        path = request.path
        if path.startswith("/v2/") or path == "/v2":
            return await self._distribution(request)
        if path == "/healthz":
            return BytesReply(200, b"alive\n", _TEXT)
        if path == "/readyz":
            return await self._readiness(request)
        if path == TOKEN_PATH and self._access.issues_tokens:
            return await self._token(request)
        raise NameUnknown("There is nothing at this path; the registry's API is below /v2/.")

    async def _readiness(self, request: Request) -> Reply:
        if _is_draining(request):
            return BytesReply(503, b"draining\n", _TEXT)
        if await self._life.is_ready():
            return BytesReply(200, b"ready\n", _TEXT)
        return BytesReply(503, b"not ready\n", _TEXT)

    async def _token(self, request: Request) -> Reply:
        answer = await answer_token_request(
            self._access,
            method=request.method,
            query=request.query,
            authorization=request.header(b"authorization"),
        )
        headers = {name.lower(): value for name, value in answer.headers}
        content_type = headers.pop("content-type").encode("ascii")
        rest = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return BytesReply(answer.status, answer.body, content_type, rest)


def _is_draining(request: Request) -> bool:
    """Whether the server was told to stop: moorage.server.ServerCondition; others do not tell."""
    server = request.scope.get("state", {}).get("server")
    return getattr(server, "draining", False) is True


class RequestObserver:
    """Writes one line a request, and our own faults with all there is to know."""

    def __init__(self, access_log: AccessLog | None, addresses: Addresses) -> None:
        self._access_log = access_log
        self._addresses = addresses
        self._log = get_logger("moorage")

    def replied(self, request: Request, status: int, sent: int, seconds: float) -> None:
        """Log the request, unless access logging is off."""
        if self._access_log is None:
            return
        matched = match(request.path)
        query = request.scope["query_string"].decode("latin-1")
        self._access_log.write(
            AccessRecord(
                request_id=request.id,
                method=request.method,
                path=f"{request.path}?{query}" if query else request.path,
                status=status,
                duration_ms=round(seconds * 1000, 3),
                principal=request.principal,
                repository=matched.repository if matched else "",
                reference=matched.argument if matched else "",
                bytes_in=request.received,
                bytes_out=sent,
                client=self._addresses.client(request),
                user_agent=request.header(b"user-agent") or "",
                error=request.error,
            )
        )

    def failed(self, request: Request, error: Exception) -> None:
        """Log a fault of ours, or a refusal that the operator must see."""
        where = {"request_id": request.id, "method": request.method, "path": request.path}
        if isinstance(error, OCIError):
            self._log.error(error.message, cause=repr(error.__cause__), **where)
        else:
            self._log.exception("a request met a fault of ours", error, **where)
