# SPDX-License-Identifier: Apache-2.0
"""From a request below `/v2` to its handler: who asks, what for, and may they.

Every route passes here, so none can forget to authorize. What a stranger asks about a repository is
refused before it can be seen whether the repository exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.access.scopes import needed_scope
from moorage.distribution.registry import Call
from moorage.distribution.routes import match
from moorage.spec.errors import ExtensionUnknown, NameUnknown, OCIError, Unsupported
from moorage.spec.names import RepositoryName, parse_repository

if TYPE_CHECKING:
    from moorage.access.principals import Principal
    from moorage.distribution.registry import Registry
    from moorage.distribution.routes import Match, Route
    from moorage.http.replies import Reply
    from moorage.http.request import Request

# Docker Engine once refused registries that did not say this, on every reply and every status.
VERSION = (b"docker-distribution-api-version", b"registry/2.0")


class Distribution:
    """Answers everything below `/v2`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def __call__(self, request: Request) -> Reply:
        """The reply; refusals of the client's making are replies too."""
        try:
            reply = await self._answer(request)
        except OCIError as refusal:
            refusal.with_headers((VERSION[0].decode(), VERSION[1].decode()))
            raise
        reply.headers.append(VERSION)
        return reply

    async def _answer(self, request: Request) -> Reply:
        matched = match(request.path)
        if matched is None:
            raise _no_such_path(request.path)
        route = matched.operations.get(request.method)
        if route is None:
            raise _no_such_method(request.method, matched)
        self._refuse_if_switched_off(route)
        registry = self._registry
        base_url = registry.addresses.base_url(request) if registry.access.required else ""
        repository = _repository(matched)
        principal = await self._principal(request, route, repository, base_url)
        request.principal = principal.name
        self._authorize(principal, route, repository, base_url)
        call = Call(
            request,
            principal,
            repository or RepositoryName(""),
            matched.argument,
            registry.addresses.client(request),
        )
        return await route.handler(registry, call)

    async def _principal(
        self,
        request: Request,
        route: Route,
        repository: RepositoryName | None,
        base_url: str,
    ) -> Principal:
        access = self._registry.access
        authorization = request.header(b"authorization") if access.required else None
        scope = None
        if authorization and route.permission != "ping":
            scope = str(needed_scope(route.permission, repository))
        return await access.authenticate(authorization, base_url=base_url, scope=scope)

    def _authorize(
        self,
        principal: Principal,
        route: Route,
        repository: RepositoryName | None,
        base_url: str,
    ) -> None:
        access = self._registry.access
        permission = route.permission
        if permission == "ping":
            allowed = access.may_ping(principal)
        else:
            allowed = access.allows(principal, permission, repository)
        if not allowed:
            raise access.refusal(principal, permission, repository, base_url=base_url)

    def _refuse_if_switched_off(self, route: Route) -> None:
        if route.effect == "read":
            return
        if self._registry.read_only:
            raise Unsupported("The registry is read-only at the moment; try again later.")
        if route.effect == "delete" and not self._registry.deletes:
            raise Unsupported("Deleting is switched off (storage.delete.enabled is false).")


def _repository(matched: Match) -> RepositoryName | None:
    return parse_repository(matched.repository) if matched.repository else None


def _no_such_path(path: str) -> OCIError:
    if path.startswith("/v2/_") or "/_" in path:
        return ExtensionUnknown()
    return NameUnknown("There is nothing at this path; see the OCI distribution specification.")


def _no_such_method(method: str, matched: Match) -> OCIError:
    allowed = ", ".join(matched.operations)
    return Unsupported(
        f"{method} is not possible here; use one of {allowed}.", headers=[("Allow", allowed)]
    )
