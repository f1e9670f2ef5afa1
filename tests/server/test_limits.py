# SPDX-License-Identifier: Apache-2.0
"""The bounds of a connection: sizes, times and numbers, each reached by a client that
misbehaves.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from moorage.server.options import ConnectionLimits
from moorage.server.server import sweep_interval
from tests.server.running import echo, running
from tests.support.raw import RawConnection

if TYPE_CHECKING:
    from moorage.server.asgi import Receive, Scope, Send

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
PUT = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"


def sent_to(limits: ConnectionLimits, data: bytes) -> tuple[int, bool]:
    """Status of the answer to `data`, and whether the connection is closed after it."""
    with running(echo, limits=limits) as server:
        raw = RawConnection(server.port)
        raw.send(data)
        status, closed = raw.answer().status, raw.is_closed()
        raw.socket.close()
    return status, closed


@pytest.mark.parametrize("ending", [b"", b"\r\n\r\n"])
def test_header_bytes(ending: bytes) -> None:
    """A head that is too large is 431, complete or not."""
    data = GET[:-2] + b"X: " + b"a" * 1000 + ending

    assert sent_to(ConnectionLimits(header_bytes=500), data) == (431, True)


@pytest.mark.parametrize("ending", [b"", b" HTTP/1.1\r\nHost: h\r\n\r\n"])
def test_request_line_bytes(ending: bytes) -> None:
    """A request line that is too long is 414, complete or not."""
    data = b"GET /" + b"a" * 1000 + ending

    assert sent_to(ConnectionLimits(request_line_bytes=500), data) == (414, True)


def test_header_seconds() -> None:
    """A head that does not become complete in time is 408, however busily its bytes drip."""
    with running(echo, limits=ConnectionLimits(header_seconds=0.3)) as server:
        raw = RawConnection(server.port)
        raw.send(b"GET / HTTP/1.1\r\n")
        assert not raw.drip((b"X: y\r\n" for _ in range(1000)), 0.02)
        assert raw.answer().status == 408
        assert raw.is_closed()
        raw.socket.close()


def test_silence_from_the_start() -> None:
    """A connection on which nothing comes is closed without a word."""
    with running(echo, limits=ConnectionLimits(header_seconds=0.2)) as server:
        raw = RawConnection(server.port)
        assert raw.is_closed()
        raw.socket.close()


def test_idle_seconds() -> None:
    """A connection without a next request is closed without a word."""
    with running(echo, limits=ConnectionLimits(idle_seconds=0.2)) as server:
        raw = RawConnection(server.port)
        raw.send(GET)
        assert raw.answer().status == 200
        assert raw.is_closed()
        raw.socket.close()


def test_body_seconds() -> None:
    """A body that stops coming is 408."""
    with running(echo, limits=ConnectionLimits(body_seconds=0.2)) as server:
        raw = RawConnection(server.port)
        raw.send(PUT + b"abc")
        assert raw.answer().status == 408
        assert raw.is_closed()
        raw.socket.close()


def test_slow_body_is_no_fault() -> None:
    """A body that keeps coming may take longer than `body_seconds` altogether."""
    with running(echo, limits=ConnectionLimits(body_seconds=1.0)) as server:
        raw = RawConnection(server.port)
        raw.send(PUT)
        assert raw.drip((b"x" for _ in range(99)), 0.02)
        raw.send(b"x")
        assert raw.answer().body == b"PUT /a " + b"x" * 100
        raw.socket.close()


def test_body_that_stops_after_the_answer_began() -> None:
    """When the answer has begun, only cutting the connection is left."""

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    with running(app, limits=ConnectionLimits(body_seconds=0.2)) as server:
        raw = RawConnection(server.port)
        raw.send(PUT)
        data = raw.until_closed()
        raw.socket.close()

    assert data.endswith(b"1\r\nx\r\n")


def test_idle_connections_make_room() -> None:
    """Beyond the limit the connection that is idle longest is closed for the new one."""
    with running(echo, limits=ConnectionLimits(connections=3)) as server:
        connections = []
        for _ in range(6):
            raw = RawConnection(server.port)
            raw.send(GET)
            assert raw.answer().status == 200
            connections.append(raw)
        assert all(raw.is_closed() for raw in connections[:3])
        for raw in connections[3:]:
            raw.send(GET)
            assert raw.answer().status == 200
        for raw in connections:
            raw.socket.close()


def test_busy_connections_make_new_ones_wait() -> None:
    """When all are busy a new connection waits, and is served when one ends."""
    with running(echo, limits=ConnectionLimits(connections=2)) as server:
        busy = [RawConnection(server.port) for _ in range(2)]
        for raw in busy:
            raw.send(PUT)
        server.until(
            lambda: sum(each.exchange is not None for each in server.server._connections) == 2
        )
        waiting = RawConnection(server.port, seconds=0.3)
        waiting.send(GET)
        with pytest.raises(TimeoutError):
            waiting.socket.recv(1)
        busy[0].send(b"x" * 100)
        assert busy[0].answer().status == 200
        waiting.socket.settimeout(20)
        assert waiting.answer().status == 200
        for raw in (*busy, waiting):
            raw.socket.close()


def test_lingering_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that goes on sending after its refusal is dropped in the end."""
    monkeypatch.setattr("moorage.server.connection._LINGER_BYTES", 1 << 20)
    with running(echo) as server:
        raw = RawConnection(server.port)
        raw.send(b"nonsense\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            raw.socket.sendall(b"x" * (64 << 20))
        raw.socket.close()


def test_lingering_client_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that neither sends nor closes after its refusal is closed after a while."""
    monkeypatch.setattr("moorage.server.connection._LINGER_SECONDS", 0.1)
    with running(echo) as server:
        raw = RawConnection(server.port)
        raw.send(b"nonsense\r\n")
        assert raw.answer().status == 400
        server.until(lambda: not server.server._connections)
        raw.socket.close()


def test_many_idle_connections() -> None:
    """Hundreds of silent connections keep nobody from being answered."""
    with running(echo) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        raw = RawConnection(server.port)
        raw.send(GET)
        assert raw.answer().status == 200
        for connection in (*silent, raw.socket):
            connection.close()


def test_sweep_is_quick_enough() -> None:
    """The sweep runs often enough for the shortest limit, and not more than once a second."""
    assert sweep_interval(ConnectionLimits()) == 1.0
    assert sweep_interval(ConnectionLimits(body_seconds=0.4)) == pytest.approx(0.1)
    assert sweep_interval(ConnectionLimits(idle_seconds=0.001)) == pytest.approx(0.05)
