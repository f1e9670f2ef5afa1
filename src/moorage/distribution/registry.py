# SPDX-License-Identifier: Apache-2.0
"""What the handlers work with, and the one request that each of them answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.content.changes import Actor

if TYPE_CHECKING:
    from moorage.access.principals import Principal
    from moorage.access.service import AccessService
    from moorage.content.service import Content
    from moorage.distribution.in_flight import UploadsInFlight
    from moorage.distribution.redirects import Redirects
    from moorage.http.addresses import Addresses
    from moorage.http.request import Request
    from moorage.spec.names import RepositoryName


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one request may ask for; each is a setting of the same name."""

    manifest_bytes: int
    tags_per_push: int
    tags_per_page: int
    repositories_per_page: int
    ranges_per_request: int


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry behind the handlers.

    `base` is what Location and Link begin with: nothing, a path prefix, or an absolute URL.
    """

    content: Content
    access: AccessService
    addresses: Addresses
    bounds: Bounds
    in_flight: UploadsInFlight
    redirects: Redirects
    base: str = ""
    read_only: bool = False
    deletes: bool = True


@dataclass(slots=True)
class Call:
    """A request that has been routed and authorized.

    `argument` is the last part of the path as it came: a reference, a digest, a session.
    """

    request: Request
    principal: Principal
    repository: RepositoryName
    argument: str
    client: str

    @property
    def actor(self) -> Actor:
        """On whose behalf changes are recorded."""
        return Actor(self.principal.name, self.client, self.request.id)
