# SPDX-License-Identifier: Apache-2.0
"""Which clients are sent to the object store for a blob's bytes, and which get them from here."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network


class Redirects:
    """The operator's rules."""

    def __init__(
        self, *, enabled: bool = True, except_networks: Sequence[IPv4Network | IPv6Network] = ()
    ) -> None:
        """Clients in `except_networks` cannot reach the store."""
        self._enabled = enabled
        self._except = tuple(except_networks)

    def suit(self, client: str) -> bool:
        """Whether the client at this address may be redirected."""
        if not self._enabled or not self._except:
            return self._enabled
        try:
            address = ip_address(client)
        except ValueError:
            # A client on a Unix socket has no address: it is certainly near.
            return False
        return not any(address in network for network in self._except)
