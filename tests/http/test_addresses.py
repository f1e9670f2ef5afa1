# SPDX-License-Identifier: Apache-2.0
"""Who asks and what they call us: forwarded headers count only from proxies the operator named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from moorage.http.addresses import Addresses
from moorage.http.request import Request

if TYPE_CHECKING:
    from moorage.http.types import Message

PROXIES = ("10.0.0.0/8", "fd00::/8", "192.0.2.7")


def request_from(peer: str, *headers: tuple[str, str], scheme: str = "http") -> Request:
    """A request that reached us from `peer`; "" is a unix socket."""

    async def receive() -> Message:
        raise AssertionError("addresses are read off the head")

    scope = {
        "method": "GET",
        "path": "/",
        "scheme": scheme,
        "client": (peer, 1) if peer else None,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    return Request(scope, receive, "id")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("198.51.100.1",), "203.0.113.9"),
        ("10.1.2.3", (), "10.1.2.3"),
        ("10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("::ffff:10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("fd00::1", ("2001:db8::5",), "2001:db8::5"),
        ("192.0.2.7", ("198.51.100.1",), "198.51.100.1"),
        ("192.0.2.8", ("198.51.100.1",), "192.0.2.8"),
        ("", ("198.51.100.1",), "198.51.100.1"),
        # Only what trusted proxies have added counts; what stands before it anybody can write.
        ("10.1.2.3", ("1.2.3.4, 198.51.100.1",), "198.51.100.1"),
        ("10.1.2.3", ("1.2.3.4", "198.51.100.1"), "198.51.100.1"),
        ("10.1.2.3", ("198.51.100.1, 10.9.9.9",), "198.51.100.1"),
        ("10.1.2.3", ("198.51.100.1,10.9.9.9,fd00::2",), "198.51.100.1"),
        ("10.1.2.3", ("10.9.9.9",), "10.9.9.9"),
        ("10.1.2.3", ("198.51.100.1, unknown",), "10.1.2.3"),
        ("10.1.2.3", ("198.51.100.1, unknown, 10.9.9.9",), "10.9.9.9"),
        ("10.1.2.3", ("",), "10.1.2.3"),
        ("10.1.2.3", (" , ,",), "10.1.2.3"),
    ],
)
def test_the_client(peer: str, forwarded: tuple[str, ...], expected: str) -> None:
    """The nearest address that is no trusted proxy, and never one that a client made up."""
    addresses = Addresses(PROXIES)
    headers = [("x-forwarded-for", value) for value in forwarded]

    assert addresses.client(request_from(peer, *headers)) == expected


def test_without_proxies_nothing_is_believed() -> None:
    """The default: the address is that of the connection, the URL that of the request."""
    addresses = Addresses(())
    headers = (
        ("host", "registry.example"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
    )
    for peer in ("127.0.0.1", "10.1.2.3"):
        request = request_from(peer, *headers)
        assert addresses.client(request) == peer
        assert addresses.base_url(request) == "http://registry.example"


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("203.0.113.9", (), "http://us.example:5000"),
        ("203.0.113.9", (("x-forwarded-proto", "https"),), "http://us.example:5000"),
        ("203.0.113.9", (("x-forwarded-host", "evil.example"),), "http://us.example:5000"),
        ("10.1.2.3", (("x-forwarded-proto", "https"),), "https://us.example:5000"),
        (
            "10.1.2.3",
            (("x-forwarded-proto", "https"), ("x-forwarded-host", "registry.example")),
            "https://registry.example",
        ),
        (
            "10.1.2.3",
            (("x-forwarded-proto", "https, http"), ("x-forwarded-host", "one.example, two")),
            "https://one.example",
        ),
        ("10.1.2.3", (("x-forwarded-proto", "javascript"),), "http://us.example:5000"),
        ("10.1.2.3", (("x-forwarded-proto", ""),), "http://us.example:5000"),
        ("", (("x-forwarded-proto", "https"),), "https://us.example:5000"),
    ],
)
def test_the_base_url(peer: str, headers: tuple[tuple[str, str], ...], expected: str) -> None:
    """Scheme and host as the client used them, by a trusted proxy's word or by the request."""
    addresses = Addresses(PROXIES)
    request = request_from(peer, ("host", "us.example:5000"), *headers)

    assert addresses.base_url(request) == expected


def test_the_public_url_settles_it() -> None:
    """Where the operator has set what clients call us, no request says otherwise."""
    addresses = Addresses(PROXIES, "https://registry.example")
    request = request_from("10.1.2.3", ("x-forwarded-host", "other.example"))

    assert addresses.base_url(request) == "https://registry.example"


def test_the_path_that_we_are_mounted_at_belongs_to_the_url() -> None:
    """Behind a path prefix the URL has it, whoever says what stands before."""
    request = request_from("203.0.113.9", ("host", "us.example"))

    assert Addresses((), "", "/registry").base_url(request) == "http://us.example/registry"
    public = Addresses((), "https://registry.example", "/registry")
    assert public.base_url(request) == "https://registry.example/registry"


def test_a_unix_socket_is_as_close_as_a_proxy() -> None:
    """Whoever may open the socket is believed, also where no proxies are named."""
    request = request_from(
        "", ("host", "us"), ("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")
    )
    addresses = Addresses(())

    assert addresses.client(request) == "198.51.100.1"
    assert addresses.base_url(request) == "https://us"


def test_tls_of_our_own_is_https() -> None:
    """Without a proxy the scheme is that of the connection."""
    request = request_from("203.0.113.9", ("host", "us.example"), scheme="https")

    assert Addresses(()).base_url(request) == "https://us.example"
