# SPDX-License-Identifier: Apache-2.0
"""Requests on a connection: bodies, keep-alive, pipelining, and what must never be read as one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.server.running import Running, collecting, echo, read_all, reply, running
from tests.support.raw import RawConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moorage.server.asgi import Message, Receive, Scope, Send

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """A server that echoes."""
    with running(echo) as started:
        yield started


@pytest.fixture
def raw(server: Running) -> Iterator[RawConnection]:
    """A connection to the echoing server."""
    connection = RawConnection(server.port)
    yield connection
    connection.socket.close()


def test_scope() -> None:
    """The application sees the request as ASGI describes it, with the lifespan's state."""
    scopes: list[Scope] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send, 200)

    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(b"GET /a%2Fb?c=%20 HTTP/1.1\r\nHost: h\r\nAccept: x\r\nAccept: y\r\n\r\n")
        raw.answer()
        raw.socket.close()

    scope = scopes[0]
    assert scope["type"] == "http"
    assert (scope["method"], scope["http_version"], scope["scheme"]) == ("GET", "1.1", "http")
    assert (scope["path"], scope["raw_path"]) == ("/a/b", b"/a%2Fb")
    assert (scope["query_string"], scope["root_path"]) == (b"c=%20", "")
    assert scope["headers"] == [(b"host", b"h"), (b"accept", b"x"), (b"accept", b"y")]
    assert scope["server"] == ("127.0.0.1", server.port)
    assert scope["client"][0] == "127.0.0.1"
    assert scope["state"] == {"made": "here"}
    assert "http.response.zerocopysend" in scope["extensions"]


def test_keep_alive(raw: RawConnection) -> None:
    """One connection carries request after request, with bodies of every framing."""
    for _ in range(2):
        raw.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        assert raw.answer().body == b"GET /a "
        raw.send(b"PUT /b?c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        assert raw.answer().body == b"PUT /b?c abc"
        raw.send(b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        raw.send(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n")
        assert raw.answer().body == b"PUT /c abcde"


def test_byte_by_byte(raw: RawConnection) -> None:
    """How the bytes are cut into packets changes nothing."""
    request = b"PUT /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    raw.drip((request[at : at + 1] for at in range(len(request))), 0.0)

    assert raw.answer().body == b"PUT /b a"


def test_pipelining(raw: RawConnection) -> None:
    """Requests sent ahead are answered in order, whatever their bodies."""
    requests = [
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"PUT /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxy",
        b"PUT /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
        b"GET /4 HTTP/1.1\r\nHost: h\r\n\r\n",
    ] * 50
    raw.send(b"".join(requests))

    for _ in range(50):
        answers = [raw.answer().body for _ in range(4)]
        assert answers == [b"GET /1 ", b"PUT /2 xy", b"PUT /3 z", b"GET /4 "]


def test_empty_line_before_a_request(raw: RawConnection) -> None:
    """RFC 9112, 2.2: an empty line before the request line is ignored."""
    raw.send(b"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n")

    assert [raw.answer().body for _ in range(2)] == [b"GET /a ", b"GET /b "]


def test_http_1_0(raw: RawConnection) -> None:
    """HTTP/1.0 needs no Host and ends with the connection."""
    raw.send(b"GET /a HTTP/1.0\r\n\r\n")
    answer = raw.answer()

    assert (answer.status, answer.body) == (200, b"GET /a ")
    assert answer.headers.get("Connection") == "close"
    assert raw.is_closed()


def test_connection_close(raw: RawConnection) -> None:
    """A client that asks for it gets its answer and the end of the connection."""
    raw.send(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")

    assert raw.answer().headers.get("Connection") == "close"
    assert raw.is_closed()


def test_half_closed(raw: RawConnection) -> None:
    """A client that has finished sending still gets its answer."""
    raw.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    raw.finish_sending()

    assert raw.answer().body == b"GET /a "
    assert raw.is_closed()


def test_upgrade_is_ignored(raw: RawConnection) -> None:
    """A request to switch protocols is an ordinary request, and so is its body."""
    raw.send(
        b"PUT /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 2\r\n\r\nabGET /b HTTP/1.1\r\nHost: h\r\n\r\n"
    )

    assert [raw.answer().body for _ in range(2)] == [b"PUT /a ab", b"GET /b "]


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: chunked\r\n chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: a\x00b\r\n",
        b"X: a\rContent-Length: 5\r\n",
        b"X: a\nContent-Length: 5\r\n",
    ],
)
def test_smuggling(raw: RawConnection, framing: bytes) -> None:
    """Ambiguous framing is 400 and the end: what follows is never read as a request."""
    raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n0\r\n\r\n")
    raw.send(b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")

    assert raw.answer().status == 400
    assert raw.is_closed()


@pytest.mark.parametrize(
    "chunks", [b"5 \r\nabcde\r\n", b"5\nabcde\r\n", b"2\r\nabc\r\n", b"0x2\r\nab\r\n", b"-1\r\n"]
)
def test_bad_chunks(raw: RawConnection, chunks: bytes) -> None:
    """A malformed chunk is 400 and the end."""
    raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    raw.send(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")

    assert raw.answer().status == 400
    assert raw.is_closed()


def test_expect_continue(raw: RawConnection) -> None:
    """The 100 comes when the application asks for the body."""
    raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    interim = raw.any_answer()
    raw.send(b"ab")

    assert interim.status == 100
    assert raw.any_answer().body == b"PUT /a ab"


def test_final_status_instead_of_100() -> None:
    """An application that does not read the body answers without a 100, and the connection ends."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, 401, b"who?")

    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        answer = raw.any_answer()

        assert (answer.status, answer.body) == (401, b"who?")
        assert answer.headers.get("Connection") == "close"
        assert raw.is_closed()
        raw.socket.close()


@pytest.mark.parametrize(
    "request_start",
    [
        b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc",
        b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
@pytest.mark.parametrize("how", ["finish_sending", "reset"])
def test_cut_off_body_is_a_disconnect(request_start: bytes, how: str) -> None:
    """A body that was cut off, in whichever way, is never announced as whole."""
    messages: list[Message] = []
    over = asyncio.Event()
    inner = collecting(messages)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)
        over.set()

    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(request_start)
        server.until(lambda: bool(messages))
        getattr(raw, how)()
        asyncio.run_coroutine_threadsafe(over.wait(), server.server.loop).result(20)
        raw.socket.close()

    assert messages[0] == {"type": "http.request", "body": b"abc", "more_body": True}
    assert messages[-1] == {"type": "http.disconnect"}


def test_large_pieces() -> None:
    """A large body arrives whole, in pieces of many kilobytes, never in one."""
    messages: list[Message] = []
    with running(collecting(messages)) as server:
        raw = RawConnection(server.port)
        raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (8 * MEGABYTE))
        raw.send(b"x" * (8 * MEGABYTE))
        assert raw.answer().body == b"whole"
        raw.socket.close()

    sizes = [len(message["body"]) for message in messages]
    assert sum(sizes) == 8 * MEGABYTE
    assert max(sizes) <= 512 * 1024
    assert len(sizes) <= 8 * MEGABYTE / 4096


def test_body_waits_in_the_kernel() -> None:
    """A client is slowed down while the application does not ask for more."""
    go_on = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await go_on.wait()
        await read_all(receive)
        await reply(send, 200)

    with running(app) as server:
        raw = RawConnection(server.port, seconds=1)
        raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (64 * MEGABYTE))
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 * MEGABYTE:
                sent += raw.socket.send(b"x" * MEGABYTE)
        stuck_at = sent
        server.ask(go_on.set)
        raw.socket.settimeout(20)
        while sent < 64 * MEGABYTE:
            sent += raw.socket.send(b"x" * min(MEGABYTE, 64 * MEGABYTE - sent))

        assert stuck_at < 32 * MEGABYTE
        assert raw.answer().status == 200
        raw.socket.close()


def test_receive_after_the_body_waits_for_the_client() -> None:
    """An application that listens while it works learns that the client has left."""
    seen: list[str] = []
    over = asyncio.Event()

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        await read_all(receive)
        seen.append((await receive())["type"])
        over.set()

    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        raw.socket.close()
        asyncio.run_coroutine_threadsafe(over.wait(), server.server.loop).result(20)

    assert seen == ["http.disconnect"]


def test_receive_beside_send() -> None:
    """One that listens while another task answers is released, and steals nothing of what
    follows.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        listener = asyncio.create_task(asyncio.wait_for(receive(), 20))
        await asyncio.sleep(0.01)
        await reply(send, 200, scope["raw_path"])
        assert (await listener)["type"] == "http.disconnect"

    with running(app) as server:
        raw = RawConnection(server.port)
        for number in range(20):
            raw.send(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
            assert raw.answer().body == b"/%d" % number
        raw.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(20)))
        assert [raw.answer().body for _ in range(20)] == [b"/%d" % number for number in range(20)]
        raw.socket.close()
