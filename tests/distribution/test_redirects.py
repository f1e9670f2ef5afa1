# SPDX-License-Identifier: Apache-2.0
"""Which clients are sent to the object store."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from moorage.distribution.redirects import Redirects


@pytest.mark.parametrize("client", ["192.0.2.1", "2001:db8::1", ""])
def test_everybody_or_nobody(client: str) -> None:
    """Without exceptions the switch decides alone."""
    assert Redirects().suit(client)
    assert not Redirects(enabled=False).suit(client)


@pytest.mark.parametrize(
    ("client", "redirected"),
    [
        ("10.1.2.3", False),
        ("192.0.2.1", True),
        ("fd00::7", False),
        ("2001:db8::1", True),
        # On a Unix socket a client has no address; it is on this machine.
        ("", False),
    ],
)
def test_networks_without_a_way_to_the_store(client: str, redirected: bool) -> None:  # noqa: FBT001 (given by name through parametrize)
    """Clients in the networks that are named get the bytes from the registry."""
    networks = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    assert Redirects(except_networks=networks).suit(client) is redirected
