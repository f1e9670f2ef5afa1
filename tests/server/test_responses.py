# SPDX-License-Identifier: Apache-2.0
"""Responses: framing on the wire, early answers, and applications that fail."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest

from tests.server.running import read_all, reply, running
from tests.support.raw import Closed, RawConnection

if TYPE_CHECKING:
    from moorage.server.asgi import ASGIApp, Receive, Scope, Send

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n"
MEGABYTE = 1 << 20


def start(status: int, *headers: tuple[bytes, bytes]) -> dict[str, object]:
    """The message that begins a response."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content: bytes, *, more: bool = False) -> dict[str, object]:
    """A message with a piece of a body."""
    return {"type": "http.response.body", "body": content, "more_body": more}


def sending(*messages: dict[str, object]) -> ASGIApp:
    """An application that sends these messages."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def exchange(app: ASGIApp, request: bytes = GET) -> bytes:
    """Everything that comes back for one request and one more, until the connection ends."""
    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(request)
        raw.finish_sending()
        data = raw.until_closed()
        raw.socket.close()
    return data


def test_small_reply_is_one_write() -> None:
    """Head and body of a small reply travel together."""
    with running(sending(start(200, (b"content-length", b"2")), body(b"hi"))) as server:
        raw = RawConnection(server.port)
        raw.send(GET)
        data = raw.socket.recv(65536)
        raw.socket.close()

    assert data.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
    assert data.endswith(b"\r\n\r\nhi")


def test_no_version_is_told() -> None:
    """Nothing names the server or its version."""
    assert b"server:" not in exchange(sending(start(200), body(b""))).lower()


def test_chunks() -> None:
    """Without a length the body comes in chunks, empty pieces make none."""
    data = exchange(
        sending(start(200), body(b"ab", more=True), body(b"", more=True), body(b"c" * 20))
    )

    assert data.endswith(b"\r\n\r\n2\r\nab\r\n14\r\n" + b"c" * 20 + b"\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "status", "headers", "ending"),
    [
        (HEAD, 200, [(b"content-length", b"5")], b"Content-Length: 5\r\n\r\n"),
        (GET, 204, [(b"content-length", b"5")], b"GMT\r\n\r\n"),
        (GET, 304, [(b"etag", b'"a"')], b'ETag: "a"\r\n\r\n'),
        (HEAD, 200, [], b"GMT\r\n\r\n"),
    ],
)
def test_responses_without_a_body(
    request_bytes: bytes, status: int, headers: list[tuple[bytes, bytes]], ending: bytes
) -> None:
    """HEAD, 204 and 304 have no body even where the application sends one."""
    data = exchange(sending(start(status, *headers), body(b"12345")), request_bytes)

    assert data.endswith(ending)


def test_framing_holds_for_the_next_request() -> None:
    """After responses without a body the connection is in step."""
    calls = [start(204), start(200, (b"content-length", b"2"))]

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await send(calls[scope["method"] == "HEAD"])
        await send(body(b"no"))

    with running(app) as server:
        raw = RawConnection(server.port)
        for _ in range(3):
            raw.send(GET + HEAD)
            assert raw.answer().status == 204
            assert raw.answer(method="HEAD").headers.get("Content-Length") == "2"
        raw.socket.close()


def test_failure_before_the_response(caplog: pytest.LogCaptureFixture) -> None:
    """An application that raises is a plain 500, logged, without a word about why."""

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        raise KeyError("secret")

    data = exchange(app)

    assert data.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in data
    assert any("the application failed" in record.message for record in caplog.records)


def test_no_response() -> None:
    """An application that returns without answering is a 500."""
    assert exchange(sending()).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize(
    "messages",
    [
        [start(200, (b"content-length", b"10")), body(b"12345", more=True)],
        [start(200), body(b"12345", more=True)],
        [start(200, (b"content-length", b"10")), body(b"12345", more=True), body(b"")],
    ],
)
def test_unfinished_response(
    messages: list[dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    """A response that stops early is cut: no client can take it for whole."""
    caplog.set_level(logging.CRITICAL)
    with running(sending(*messages)) as server:
        raw = RawConnection(server.port)
        raw.send(GET)
        with pytest.raises(Closed):
            raw.answer()
        raw.socket.close()


def test_response_longer_than_promised() -> None:
    """More content than the Content-Length is refused, and the connection cut."""
    data = exchange(sending(start(200, (b"content-length", b"2")), body(b"123")))

    assert b"123" not in data


def test_messages_out_of_order() -> None:
    """A body before its head, two heads, or a message nobody knows are the application's errors."""
    errors: list[str] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        for message in (body(b""), start(200), start(200), {"type": "http.response.unknown"}):
            try:
                await send(message)
            except RuntimeError as error:
                errors.append(str(error))
        await send(body(b"ok"))
        try:
            await send(body(b"late"))
        except RuntimeError as error:
            errors.append(str(error))

    assert b"ok" in exchange(app)
    assert len(errors) == 4


def test_send_to_nobody_raises() -> None:
    """An application that streams to a client that has left is told by an OSError."""
    seen: list[BaseException] = []
    over = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send(start(200))
        try:
            while True:
                await send(body(b"x" * 65536, more=True))
        except OSError as error:
            seen.append(error)
        over.set()

    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(GET)
        raw.socket.recv(1000)
        raw.reset()
        asyncio.run_coroutine_threadsafe(over.wait(), server.server.loop).result(20)

    assert len(seen) == 1


def test_slow_reader_slows_the_application() -> None:
    """Nothing piles up in the server while a client does not read."""
    sent = 0

    async def app(_: Scope, __: Receive, send: Send) -> None:
        nonlocal sent
        await send(start(200, (b"content-length", b"%d" % (64 * MEGABYTE))))
        for _number in range(64):
            await send(body(b"x" * MEGABYTE, more=True))
            sent += 1
        await send(body(b""))

    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(GET)
        before = -1
        while before != sent:
            before = sent
            server.ask(lambda: None)
            time.sleep(0.3)  # long enough for a server that does not stop to send much more
        stuck_at = sent
        left = 64 * MEGABYTE
        while left > 0:
            left -= len(raw.socket.recv(MEGABYTE))
        raw.socket.close()

    assert stuck_at < 32


@pytest.mark.parametrize("framing", [b"Content-Length: %d", b"Transfer-Encoding: chunked"])
def test_early_answer_to_a_large_upload(framing: bytes) -> None:
    """A client that sends its whole body before it reads still finds the early answer."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, 403, b"no")

    size = 8 * MEGABYTE
    with running(app) as server:
        raw = RawConnection(server.port)
        field = framing % size if b"%d" in framing else framing
        raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\n" + field + b"\r\n\r\n")
        raw.socket.sendall(b"x" * size)  # fails if the server resets the connection
        answer = raw.answer()

        assert (answer.status, answer.body) == (403, b"no")
        assert answer.headers.get("Connection") == "close"
        assert raw.is_closed()
        raw.socket.close()


def test_small_unread_body_keeps_the_connection() -> None:
    """A little body that nobody read is dropped, and the connection goes on in step."""

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await reply(send, 404, scope["raw_path"])

    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(b"PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
        assert raw.answer().body == b"/1"
        raw.send(b"x" * 99_000 + b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert raw.answer().body == b"/2"
        raw.send(b"PUT /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nGET " + GET)
        assert [raw.answer().body for _ in range(2)] == [b"/3", b"/a"]
        raw.socket.close()


def test_answer_while_the_body_still_comes() -> None:
    """An application may begin its answer before it has read the whole body."""

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await send(start(200))
        content = await read_all(receive)
        await send(body(content or b"nothing"))

    with running(app) as server:
        raw = RawConnection(server.port)
        raw.send(b"PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n")
        raw.send(b"abc")
        assert raw.answer().body == b"abc"
        raw.socket.close()
