# SPDX-License-Identifier: Apache-2.0
"""X-Forwarded headers: believed from those who may be believed, and from nobody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from moorage.http.addresses import Addresses
from moorage.http.request import Request
from tests.support.registry import RunningRegistry, free_port
from tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.http.types import Message

FORWARDED = {
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "registry.example",
}
UNIX_SOCKET = ""


async def no_body() -> Message:
    """Nothing more comes."""
    return {"type": "http.request", "body": b"", "more_body": False}


def request_from(peer: str, headers: dict[str, str]) -> Request:
    """A request as the server hands it over."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v2/",
        "scheme": "http",
        "headers": [(b"host", b"127.0.0.1:5000"), *raw],
        "client": (peer, 40000) if peer != UNIX_SOCKET else None,
    }
    return Request(scope, no_body, "id")


@pytest.mark.parametrize(
    ("trusted", "peer", "client", "url"),
    [
        ([], "203.0.113.1", "203.0.113.1", "http://127.0.0.1:5000"),
        (["10.0.0.0/8"], "203.0.113.1", "203.0.113.1", "http://127.0.0.1:5000"),
        (["10.0.0.0/8"], "10.1.2.3", "192.0.2.7", "https://registry.example"),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", "192.0.2.7", "https://registry.example"),
        (["::1"], "::1", "192.0.2.7", "https://registry.example"),
        ([], UNIX_SOCKET, "192.0.2.7", "https://registry.example"),
        (["10.0.0.0/8"], UNIX_SOCKET, "192.0.2.7", "https://registry.example"),
    ],
)
def test_who_is_believed(trusted: list[str], peer: str, client: str, url: str) -> None:
    """The proxies that are named, and whoever may open the unix socket."""
    addresses, request = Addresses(trusted), request_from(peer, FORWARDED)

    assert addresses.client(request) == client
    assert addresses.base_url(request) == url


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:10.0.0.2", "10.0.0.2"),
        ("2001:db8::7", "2001:db8::7"),
        ("192.0.2.7, nonsense", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_the_nearest_stranger_counts(forwarded: str, client: str) -> None:
    """What a stranger wrote in front of a proxy's own word is not looked at."""
    request = request_from("10.0.0.1", {"X-Forwarded-For": forwarded})

    assert Addresses(["10.0.0.0/8"]).client(request) == client


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:7f00:1", "2001:db8::ffff:1.2.3.4"])
def test_other_addresses_stay(peer: str) -> None:
    """Only the one way in which a socket shows IPv4 is rewritten."""
    assert Addresses([]).client(request_from(peer, {})) == peer


def test_a_socket_for_both_families_logs_ipv4_as_it_is(tmp_path: Path) -> None:
    """A registry on all interfaces writes 127.0.0.1, not ::ffff:127.0.0.1."""
    port = free_port()
    with RunningRegistry(tmp_path, {"http": {"addr": f":{port}"}}, port=port) as registry:
        with Wire(f"http://127.0.0.1:{port}") as wire:
            assert wire.get("/v2/").status == 200
        registry.stop()
        lines = [json.loads(line) for line in registry.log.splitlines()]

    assert [line["client"] for line in lines if line.get("path") == "/v2/"] == ["127.0.0.1"]
