# SPDX-License-Identifier: Apache-2.0
"""Giant, many, double and meaningless headers; giant addresses and queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.victim import assert_civil
from tests.support.images import random_blob
from tests.support.raw import request_bytes

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository
    from tests.hostile.victim import Victim

HALF_MIB = 512 * 1024

GIANTS: dict[str, bytes] = {
    "one giant header": request_bytes("GET", "/v2/", ("X-Giant", "a" * HALF_MIB)),
    "giant header name": request_bytes("GET", "/v2/", ("X" * HALF_MIB, "a")),
    "many headers": request_bytes("GET", "/v2/", *[(f"X-{n}", "a" * 100) for n in range(5000)]),
    "many empty headers": request_bytes("GET", "/v2/", *[("X", "")] * 50_000),
    "giant address": request_bytes("GET", "/v2/" + "a" * HALF_MIB),
    "giant query": request_bytes("GET", "/v2/?" + "a" * HALF_MIB),
    "giant authorization": request_bytes(
        "GET", "/v2/", ("Authorization", "Basic " + "A" * HALF_MIB)
    ),
    "giant method": request_bytes("G" * HALF_MIB, "/v2/"),
    "giant cookie": request_bytes("GET", "/v2/", ("Cookie", "a=b; " * 100_000)),
    "giant accept": request_bytes("GET", "/v2/a/manifests/b", ("Accept", "a/b, " * 100_000)),
    "giant range": request_bytes("GET", "/v2/", ("Range", "bytes=" + "0-1," * 100_000)),
}


@pytest.mark.parametrize("row", GIANTS)
def test_giant_head(victim: Victim, row: str) -> None:
    """A head far beyond the limit is refused with a 4xx or a closed connection."""
    answer = victim.send(GIANTS[row])

    assert answer is None or answer.status in {400, 414, 431}, answer


def test_head_that_never_ends(victim: Victim) -> None:
    """A client that goes on sending headers is cut off."""
    with victim.connect() as connection:
        connection.send(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        line = b"X-Header: " + b"a" * 990 + b"\r\n"
        assert not connection.drip((line * 64 for _ in range(2000)), 0)


def test_large_head_within_the_limit(victim: Victim) -> None:
    """A token of sixteen kilobytes still fits."""
    answer = victim.send(request_bytes("GET", "/v2/", ("Authorization", "Bearer " + "a" * 16_000)))

    assert answer is not None
    assert answer.status in {200, 401}, answer


VALUES = [
    ("Range", "bytes=" + ",".join(f"{n}-{n}" for n in range(2000))),
    ("Range", "bytes=" + "9" * 5000 + "-"),
    ("Range", "bytes=-" + "9" * 5000),
    ("Range", "\xff\xfe"),
    ("If-None-Match", '"' * 3000),
    ("If-None-Match", ",".join(['W/"x"'] * 2000)),
    ("If-Range", '"'),
    ("If-Modified-Since", "yesterday"),
    ("If-Match", "*, *, *"),
    ("Accept", ",".join(f"a/{n};q=0.{n}" for n in range(1500))),
    ("Accept", ";;;;,,,,====q=q=q"),
    ("Accept", "*/*;q=999999999999999999999999"),
    ("Accept-Encoding", "gzip;q=nan"),
    ("Authorization", ""),
    ("Authorization", "Basic"),
    ("Authorization", "Basic \xff\xff"),
    ("Authorization", "Basic Og=="),
    ("Authorization", "Basic " + "=" * 1000),
    ("Authorization", "Bearer a.b.c"),
    ("Authorization", "Negotiate AAAA"),
    ("Authorization", 'Digest username="a"'),
    ("Connection", "close, keep-alive, upgrade, x" * 50),
    ("Upgrade", "h2c"),
    ("Upgrade", "websocket"),
    ("Content-Type", "\x01\x02"),
    ("Content-Type", "a/b; charset=\xff"),
    ("Content-Encoding", "gzip"),
    ("Content-Range", "0-"),
    ("Expect", "200-ok"),
    ("Forwarded", 'for="[::1";host=evil'),
    ("X-Forwarded-For", "evil" * 500),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "javascript"),
    ("Host", "evil.example\xff"),
    ("Date", "\x7f"),
    ("Cookie", "\xff" * 1000),
    ("TE", "trailers, deflate;q=x"),
    ("Trailer", "Content-Length"),
    ("Max-Forwards", "-1"),
    ("X-HTTP-Method-Override", "DELETE"),
]


@pytest.mark.parametrize(
    ("name", "value"), VALUES, ids=[f"{row[0]} {row[1][:20]!a}" for row in VALUES]
)
def test_value(victim: Victim, repository: Repository, name: str, value: str) -> None:
    """A header that means nothing or contradicts itself is ignored or refused, in every request."""
    blob = random_blob()
    repository.push_blob(blob)
    location = repository.open()
    empty = ("Content-Length", "0")
    requests = [
        ("GET", "/v2/", []),
        ("GET", repository.blob_path(blob), []),
        ("HEAD", repository.blob_path(blob), []),
        ("GET", repository.manifest_path("absent"), []),
        ("POST", repository.uploads, [empty]),
        ("PATCH", location, [empty]),
        ("PUT", f"{location}?digest={blob.digest}", [empty]),
        ("PUT", repository.manifest_path("v1"), [empty]),
    ]

    for method, target, headers in requests:
        answer = victim.send(request_bytes(method, target, *headers, (name, value)), method=method)
        if answer is not None and answer.headers.get("Location"):
            assert "evil" not in answer.location


@pytest.mark.parametrize(
    "name", ["Content-Range", "Content-Type", "Host", "Range", "Authorization", "Accept", "Expect"]
)
def test_double(victim: Victim, repository: Repository, name: str) -> None:
    """A header in two lines that contradict each other does no harm."""
    location = repository.open()
    values = {"Content-Range": ("0-4", "5-9"), "Range": ("bytes=0-1", "bytes=5-6")}
    first, second = values.get(name, ("application/a", "application/b"))

    for method, target in (("PATCH", location), ("GET", location), ("GET", "/v2/")):
        body = b"hello" if method == "PATCH" else b""
        headers = [("Content-Length", str(len(body)))] if body else []
        data = request_bytes(method, target, *headers, (name, first), (name, second), body=body)
        victim.send(data)

    assert repository.wire.get(location).status == 204


def test_many_query_fields(repository: Repository) -> None:
    """Thousands of fields are refused or ignored."""
    for query in ("&".join(["tag=a"] * 1500), "&" * 7000, "=" * 7000, "n=1&" * 1500):
        answer = repository.wire.get(f"{repository.path}/tags/list?{query}")
        assert_civil(answer)
        answer = repository.wire.put(f"{repository.manifest_path('v1')}?{query}", body=b"{}")
        assert_civil(answer)
