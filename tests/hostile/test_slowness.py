# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, silent, half gone or gone: they are dropped, and nobody else waits.

The registry under test waits one second where it usually waits a minute. Nothing here measures
time: a test ends when the server has hung up, or fails when it never does.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import OCTETS, Repository, assert_pullable
from tests.support.images import Content, random_blob, with_digest
from tests.support.raw import RawConnection, request_bytes
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.victim import Victim

PAUSE = 0.2
MANY = 200


@pytest.fixture
def repository(hasty: Victim) -> Iterator[Repository]:
    """A repository in the registry that does not wait."""
    with Wire(hasty.url) as wire:
        yield Repository(wire, f"slow/{uuid.uuid4().hex[:12]}")


def test_silence(hasty: Victim) -> None:
    """A client that says nothing is dropped."""
    with hasty.connect() as connection:
        assert connection.is_closed()


@pytest.mark.parametrize("start", [b"G", b"GET /v2/", b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-"])
def test_slow_head(hasty: Victim, start: bytes) -> None:
    """A head that comes byte by byte for ever is cut off: progress alone is not enough."""
    with hasty.connect() as connection:
        connection.send(start)
        assert not connection.drip((b"a" for _ in range(100)), PAUSE)


def test_head_that_stops(hasty: Victim) -> None:
    """A head that stops in the middle is answered with a 408 or a closed connection."""
    with hasty.connect() as connection:
        connection.send(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        rest = connection.until_closed()

    assert rest == b"" or rest.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 ")), rest


def test_idle_connection(hasty: Victim) -> None:
    """A connection without a further request is closed in silence."""
    with hasty.connect() as connection:
        connection.send(request_bytes("GET", "/v2/"))
        assert connection.answer().status == 200
        assert connection.is_closed()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_that_stops(hasty: Victim, repository: Repository, framing: str) -> None:
    """A body that stops is given up; the session tells the truth and can be finished."""
    blob = random_blob(5000)
    location = repository.open()
    header = {"length": ("Content-Length", "5000"), "chunked": ("Transfer-Encoding", "chunked")}
    part = blob.payload[:1000]
    body = part if framing == "length" else b"3e8\r\n" + part + b"\r\n"
    with hasty.connect() as connection:
        connection.send(request_bytes("PATCH", location, OCTETS, header[framing], body=body))
        rest = connection.until_closed()
    assert b" 202 " not in rest

    last = int(repository.wire.get(location).headers["Range"].removeprefix("0-"))
    offset = last + 1 if last else 0
    assert offset in {0, 1000}
    assert repository.chunk(location, blob.payload[offset:], offset).status == 202
    assert repository.close(location, blob.digest).status == 201
    assert_pullable(repository, blob)


def test_slow_body_with_progress(hasty: Victim, repository: Repository) -> None:
    """An upload that crawls but makes progress is served to its end, however long it takes."""
    blob = Content(b"0123456789")
    target = with_digest(repository.open(), blob.digest)
    with hasty.connect() as connection:
        connection.send(request_bytes("PUT", target, OCTETS, ("Content-Length", "10")))
        connection.drip((b"%d" % number for number in range(10)), PAUSE)
        assert connection.answer(method="PUT").status == 201
    assert_pullable(repository, blob)


def test_reader_that_stops(hasty: Victim, repository: Repository) -> None:
    """A client that asks for a large blob and takes nothing of it is dropped; others are served."""
    blob = random_blob(16 * 1024 * 1024)
    repository.push_blob(blob)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(hasty.connect())
            connection.send(request_bytes("GET", repository.blob_path(blob)))
        assert_pullable(repository, blob)


@pytest.mark.parametrize("how", ["half closed", "closed", "reset"])
def test_gone_while_waiting(hasty: Victim, repository: Repository, how: str) -> None:
    """A client that goes away after its request harms nobody; half closed it still gets its due."""
    blob = random_blob(1024 * 1024)
    repository.push_blob(blob)
    for _ in range(20):
        connection = RawConnection(hasty.port)
        connection.send(request_bytes("GET", repository.blob_path(blob)))
        if how == "half closed":
            connection.finish_sending()
            answer = connection.answer()
            assert (answer.status, answer.body) == (200, blob.payload)
        if how == "reset":
            connection.reset()
        connection.socket.close()
    assert_pullable(repository, blob)


def test_many_slow_clients(hasty: Victim, repository: Repository) -> None:
    """While hundreds of clients hold a half-sent request, others push and pull."""
    with contextlib.ExitStack() as stack:
        for number in range(MANY):
            connection = stack.enter_context(hasty.connect())
            connection.send(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" if number % 2 else b"")
        for _ in range(5):
            blob = random_blob()
            repository.push_blob(blob)
            assert_pullable(repository, blob)


def test_many_half_uploads(hasty: Victim, repository: Repository) -> None:
    """Uploads that stop in the middle hold no memory and block no other upload."""
    before = hasty.memory()
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            connection = stack.enter_context(hasty.connect())
            length = ("Content-Length", "100000000")
            head = request_bytes("PATCH", repository.open(), OCTETS, length)
            connection.send(head + b"x" * 500_000)
        blob = random_blob()
        repository.push_blob(blob)
        assert_pullable(repository, blob)
        assert hasty.memory() - before < 60 * 1024 * 1024
