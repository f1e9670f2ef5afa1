# SPDX-License-Identifier: Apache-2.0
"""The object stores that tests run against: each is really there and keeps what it acknowledged."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
import pytest

if TYPE_CHECKING:
    from tests.support.object_servers import ObjectServer

PART = 5 << 20


@pytest.fixture(params=["s3", "azure", "gcs"])
def server(request: pytest.FixtureRequest) -> ObjectServer:
    """Each kind of server in turn."""
    found: ObjectServer = request.getfixturevalue(f"{request.param}_server")
    return found


def test_a_bucket_is_fresh_and_writable(server: ObjectServer) -> None:
    """Two buckets share nothing, and the settings name the bucket asked for."""
    first, second = server.bucket(), server.bucket()

    obstore.put(server.client(first), "a/b", b"here", use_multipart=False)

    assert [item["path"] for item in obstore.list(server.client(first)).collect()] == ["a/b"]
    assert obstore.list(server.client(second)).collect() == []
    assert first in str(server.settings(first))


def test_many_parts_become_one_object(server: ObjectServer) -> None:
    """An object sent in parts is read back whole and in ranges."""
    body = bytes(range(256)) * (2 * PART // 256) + b"end"
    client = server.client(server.bucket())

    obstore.put(client, "large", body, use_multipart=True, chunk_size=PART)

    assert bytes(obstore.get(client, "large").bytes()) == body
    assert bytes(obstore.get_range(client, "large", start=PART - 1, end=PART + 1)) == b"\xff\x00"


def test_a_signed_address_needs_no_key_and_allows_nothing_else(server: ObjectServer) -> None:
    """Whoever has a signed address can read that object."""
    client = server.client(server.bucket())
    obstore.put(client, "open/sesame", b"treasure", use_multipart=False)

    address = obstore.sign(client, "GET", "open/sesame", timedelta(minutes=1))

    with urllib.request.urlopen(address, timeout=30) as answer:
        assert answer.read() == b"treasure"
    if not server.verifies:
        return
    unsigned = address.partition("?")[0]
    for other in (unsigned, address.replace("sesame", "closed"), f"{address[:-6]}Aa0%3D"):
        with pytest.raises(urllib.error.HTTPError, match=r"HTTP Error 40[0134]"):
            urllib.request.urlopen(other, timeout=30)


def test_what_was_acknowledged_survives_a_kill(server: ObjectServer) -> None:
    """After SIGKILL and a restart, the same address serves the same objects."""
    if not server.durable:
        pytest.skip(f"{server.name} keeps everything in memory")
    client = server.client(server.bucket())
    obstore.put(client, "kept", b"still here", use_multipart=False)

    server.restart()

    assert bytes(obstore.get(client, "kept").bytes()) == b"still here"
