# SPDX-License-Identifier: Apache-2.0
"""The application around a handler: what it does with refusals, faults and clients that leave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from moorage.http.application import CLIENT_CLOSED_REQUEST, Application
from moorage.http.replies import BytesReply, EmptyReply
from moorage.spec.errors import BlobUnknown, InsufficientStorage, Unauthorized
from tests.support.asgi import InProcess, Unanswered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from moorage.http.replies import Reply
    from moorage.http.request import Request
    from moorage.http.types import RawHeaders

    Handler = Callable[[Request], Awaitable[Reply]]


class Notes:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, int, int, str]] = []
        self.failures: list[tuple[str, Exception]] = []
        self.ids: list[str] = []

    def replied(self, request: Request, status: int, sent: int, seconds: float) -> None:
        """Write it down."""
        assert seconds >= 0
        self.ids.append(request.id)
        self.requests.append((request.method, status, sent, request.error))

    def failed(self, request: Request, error: Exception) -> None:
        """Write it down."""
        self.failures.append((request.id, error))


class Life:
    """Nothing to start; remembers that it was."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    async def start(self) -> None:
        """Remember."""
        self.happened.append("start")

    async def stop(self) -> None:
        """Remember."""
        self.happened.append("stop")


def application(
    handler: Handler, notes: Notes | None = None, headers: RawHeaders | None = None
) -> Application:
    """The application under test."""
    return Application(handler, Life(), notes or Notes(), headers or [])


async def hello(_request: Request) -> Reply:
    """The simplest handler."""
    return BytesReply(200, b"hello", b"text/plain")


def test_a_reply_goes_through_with_the_operators_headers() -> None:
    """What the handler returns is sent, with the headers that every reply gets, and noted."""
    notes = Notes()
    with InProcess(application(hello, notes, [(b"x-frame-options", b"DENY")])) as client:
        answer = client.request("GET", "/")

    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert notes.requests == [("GET", 200, 5, "")]
    assert notes.failures == []


def test_refusals_get_the_operators_headers_too() -> None:
    """A 404 is a reply like any other; it is the client's affair and no failure of ours."""

    async def refuse(_request: Request) -> Reply:
        raise BlobUnknown

    notes = Notes()
    with InProcess(application(refuse, notes, [(b"x-frame-options", b"DENY")])) as client:
        answer = client.request("GET", "/")

    assert answer.status == 404
    assert answer.error_codes() == ["BLOB_UNKNOWN"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert notes.requests == [("GET", 404, len(answer.body), "BLOB_UNKNOWN")]
    assert notes.failures == []


def test_a_refusal_that_the_operator_must_know_is_reported() -> None:
    """A full disk is told to the client and to the log."""

    async def full(_request: Request) -> Reply:
        raise InsufficientStorage

    notes = Notes()
    with InProcess(application(full, notes)) as client:
        answer = client.request("PUT", "/", body=b"x")

    assert answer.status == 507
    ((identity, error),) = notes.failures
    assert isinstance(error, InsufficientStorage)
    assert [identity] == notes.ids


def test_a_fault_of_ours_is_a_500_that_tells_nothing_but_its_id() -> None:
    """The client gets an id, the log everything; the two can be brought together."""

    async def fail(_request: Request) -> Reply:
        raise KeyError("secret /var/lib/path")

    notes = Notes()
    with InProcess(application(fail, notes)) as client:
        answer = client.request("GET", "/")

    ((identity, error),) = notes.failures
    assert isinstance(error, KeyError)
    assert answer.status == 500
    (entry,) = json.loads(answer.body)["errors"]
    assert entry["code"] == "UNKNOWN"
    assert identity in entry["message"]
    assert b"secret" not in answer.body
    assert b"KeyError" not in answer.body
    assert notes.requests == [("GET", 500, len(answer.body), "UNKNOWN")]


def test_requests_go_on_after_a_fault() -> None:
    """One request's fault is not the next one's."""

    async def sometimes(request: Request) -> Reply:
        if request.path == "/bad":
            raise ZeroDivisionError
        return EmptyReply(202)

    with InProcess(application(sometimes)) as client:
        assert client.request("GET", "/bad").status == 500
        assert client.request("GET", "/good").status == 202


def test_every_request_has_an_id_of_its_own() -> None:
    """Ids differ within a process and between processes."""
    first, second = Notes(), Notes()
    for notes in (first, second):
        with InProcess(application(hello, notes)) as client:
            client.request("GET", "/")
            client.request("GET", "/")

    assert len({*first.ids, *second.ids}) == 4


async def read_all(request: Request) -> Reply:
    """A handler that wants the whole body."""
    return BytesReply(201, await request.body(100), b"text/plain")


def test_a_client_that_leaves_gets_no_reply() -> None:
    """Nobody is there to be told; the log has the request with its own number, and no fault."""
    notes = Notes()
    with InProcess(application(read_all, notes)) as client:
        pending = client.begin("PUT", "/")
        pending.send(b"half")
        pending.cut()
        with pytest.raises(Unanswered):
            _ = pending.answer

    assert notes.requests == [("PUT", CLIENT_CLOSED_REQUEST, 0, "")]
    assert notes.failures == []


def test_a_client_that_leaves_while_it_is_answered_is_no_fault_of_ours() -> None:
    """A send that fails ends the request quietly."""
    notes = Notes()

    async def gone(_message: object) -> None:
        raise BrokenPipeError

    async def scenario() -> None:
        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [],
        }
        await application(hello, notes)(scope, receive, gone)

    import asyncio

    asyncio.run(scenario())
    assert notes.requests == [("GET", CLIENT_CLOSED_REQUEST, 0, "")]
    assert notes.failures == []


def test_the_life_of_an_application() -> None:
    """It is started before the first request and stopped after the last."""
    life = Life()
    with InProcess(Application(hello, life, Notes(), [])) as client:
        assert life.happened == ["start"]
        client.request("GET", "/")
    assert life.happened == ["start", "stop"]


def test_other_protocols_are_refused() -> None:
    """A WebSocket is nothing that the registry speaks."""
    import asyncio

    async def nothing() -> dict[str, object]:
        return {}

    async def nowhere(_message: object) -> None:
        return None

    with pytest.raises(NotImplementedError, match="websocket"):
        asyncio.run(application(hello)({"type": "websocket"}, nothing, nowhere))


def test_credentials_are_asked_for() -> None:
    """A challenge travels in the headers of the refusal."""

    async def closed(_request: Request) -> Reply:
        raise Unauthorized(headers=[("WWW-Authenticate", 'Basic realm="x"')])

    with InProcess(application(closed)) as client:
        answer = client.request("GET", "/")

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="x"'
