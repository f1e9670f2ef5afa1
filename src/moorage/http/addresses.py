# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end, and what they call us, when proxies stand between.

`X-Forwarded-*` is believed only from the networks that the operator names, and from a unix socket,
whose mode says who may connect: anybody else can write what they like.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.http.request import Request


_MAPPED = "::ffff:"


class Addresses:
    """Reads addresses off requests."""

    def __init__(
        self, trusted_proxies: Sequence[str], public_url: str = "", prefix: str = ""
    ) -> None:
        """Make a reader.

        `public_url` is what clients call this registry, or "" to go by the request; `prefix` is
        the path that it is mounted at.
        """
        self._networks = tuple(ip_network(text, strict=False) for text in trusted_proxies)
        self._public_url = public_url
        self._prefix = prefix

    def client(self, request: Request) -> str:
        """The address that the request comes from: the nearest one that is no trusted proxy."""
        address = _unmapped(request.peer)
        if not self._is_trusted(address):
            return address
        forwarded = ",".join(request.header_values(b"x-forwarded-for")).split(",")
        for candidate in reversed([item.strip() for item in forwarded if item.strip()]):
            if not _is_address(candidate):
                break
            address = _unmapped(candidate)
            if not self._is_trusted(address):
                break
        return address

    def base_url(self, request: Request) -> str:
        """The address by which the client reached us, without a final slash."""
        if self._public_url:
            return self._public_url + self._prefix
        scheme: str = request.scope.get("scheme", "http")
        host = request.header(b"host") or "localhost"
        if self._is_trusted(_unmapped(request.peer)):
            scheme = _first(request.header(b"x-forwarded-proto")) or scheme
            host = _first(request.header(b"x-forwarded-host")) or host
        return f"{'https' if scheme == 'https' else 'http'}://{host}{self._prefix}"

    def _is_trusted(self, text: str) -> bool:
        # A unix socket has no address; whoever may open it is as close as a proxy can be.
        if not text:
            return True
        if not self._networks:
            return False
        address = ip_address(text)
        return any(address in network for network in self._networks)


def _unmapped(text: str) -> str:
    """The IPv4 address in `::ffff:192.0.2.1`, which is how a socket for both families shows it."""
    return text[len(_MAPPED) :] if text.lower().startswith(_MAPPED) and "." in text else text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _first(value: str | None) -> str:
    return value.partition(",")[0].strip() if value else ""
