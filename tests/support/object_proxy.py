# SPDX-License-Identifier: Apache-2.0
"""A proxy on loopback in front of an object store: it counts what is asked, and makes it fail.

    with ObjectProxy(s3_server) as proxy:
        settings = s3_server.settings(endpoint=proxy.endpoint)
        with proxy.refuse(times=3, when=lambda request: request.meaning is Meaning.PUT):
            ...
        assert proxy.counts[Meaning.COPY] == 0

Bytes are passed on as they come, a piece at a time, and the Host header stays as the client wrote
it, so signatures hold. It runs in a thread of its own: the test may block, or run its own loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import uvloop

from tests.support.object_wire import (
    PIECE_BYTES,
    Cut,
    body,
    parse_answer,
    parse_request,
    read_head,
)
from tests.support.registry import free_port

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable
    from types import TracebackType

    from tests.support.object_requests import Meaning, StoreRequest
    from tests.support.object_servers import ObjectServer

    When = Callable[[StoreRequest], bool]
    # The head to send on instead of the client's; None refuses the request.
    Rewrite = Callable[[StoreRequest], bytes | None]

REMEMBERED = 10_000
FORBIDDEN = 403
REFUSAL = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>by the test</Message></Error>"


def always(_: StoreRequest) -> bool:
    """Every request."""
    return True


@dataclass(eq=False)
class Fault:
    """Something that goes wrong; what is not set does not happen. Used with `with`, it ends there.

    A cut takes the connection away after so many bytes of the body were passed on.
    """

    when: When = always
    times: int | None = None
    seconds: float | None = None
    status: int | None = None
    delay: float = 0.0
    hang: bool = False
    cut_request_after: int | None = None
    cut_response_after: int | None = None
    hits: int = 0
    began: float = field(default_factory=time.monotonic)
    over: threading.Event = field(default_factory=threading.Event)

    def strikes(self, request: StoreRequest) -> bool:
        """Whether it happens to this request."""
        expired = self.seconds is not None and time.monotonic() > self.began + self.seconds
        if self.over.is_set() or expired or not self.when(request):
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True

    def lift(self) -> None:
        """End it; requests that hang are dropped within a moment."""
        self.over.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lift()


class ObjectProxy:
    """A proxy in front of one server; its address stays the same while the server restarts."""

    def __init__(self, server: ObjectServer, rewrite: Rewrite | None = None) -> None:
        self.server = server
        self.rewrite = rewrite
        self.port = free_port()
        self.counts: Counter[Meaning] = Counter()
        self.methods: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.requests: deque[StoreRequest] = deque(maxlen=REMEMBERED)
        self.body_bytes_up = 0
        self.body_bytes_down = 0
        self.open = 0
        self._faults: tuple[Fault, ...] = ()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="object proxy", daemon=True)
        self._listening = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        """What to use instead of the server's own address."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Forget what was counted."""
        for counter in (self.counts, self.methods, self.statuses):
            counter.clear()
        self.requests.clear()
        self.body_bytes_up = self.body_bytes_down = 0

    def inject(self, fault: Fault) -> Fault:
        """Let this happen from now on; of several faults the first that strikes counts."""
        self._faults = (*(known for known in self._faults if not known.over.is_set()), fault)
        return fault

    def refuse(
        self,
        status: int = 503,
        *,
        times: int | None = None,
        seconds: float | None = None,
        when: When = always,
    ) -> Fault:
        """Answer with this status instead of asking the server."""
        return self.inject(Fault(when, times, seconds, status=status))

    def cut_requests(
        self, after: int = 0, *, times: int | None = None, when: When = always
    ) -> Fault:
        """Cut the connection when so many bytes of a request's body were passed on."""
        return self.inject(Fault(when, times, cut_request_after=after))

    def cut_responses(
        self, after: int = 0, *, times: int | None = None, when: When = always
    ) -> Fault:
        """Cut the connection when so many bytes of an answer's body were passed on."""
        return self.inject(Fault(when, times, cut_response_after=after))

    def slow(self, delay: float, *, times: int | None = None, when: When = always) -> Fault:
        """Wait so many seconds before a request is passed on."""
        return self.inject(Fault(when, times, delay=delay))

    def hang(self, *, times: int | None = None, when: When = always) -> Fault:
        """Take requests and never answer, until the fault is lifted."""
        return self.inject(Fault(when, times, hang=True))

    def heal(self) -> None:
        """End every fault."""
        for fault in self._faults:
            fault.lift()
        self._faults = ()

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        assert self._listening.wait(30), "the proxy does not listen"
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self.heal()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(30)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        serving = asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=PIECE_BYTES)
        listener = loop.run_until_complete(serving)
        self._listening.set()
        loop.run_forever()
        listener.close()
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.open += 1
        conversation = Conversation(self, reader, writer)
        try:
            await conversation.run()
        except (Cut, OSError, EOFError, asyncio.CancelledError):
            # Cancelled is what is left when the proxy ends; asyncio would print it.
            pass
        finally:
            self.open -= 1
            conversation.abort()

    def fault_for(self, request: StoreRequest) -> Fault | None:
        """Count the request; the fault that it meets, if any."""
        self.requests.append(request)
        self.counts[request.meaning] += 1
        self.methods[request.method] += 1
        return next((fault for fault in self._faults if fault.strikes(request)), None)


class Conversation:
    """One connection of a client and the one to the server that belongs to it."""

    def __init__(self, proxy: ObjectProxy, reader: StreamReader, writer: StreamWriter) -> None:
        self.proxy = proxy
        self.reader = reader
        self.writer = writer
        self.server: tuple[StreamReader, StreamWriter] | None = None

    async def run(self) -> None:
        """Pass requests on, one after another, until either side has had enough."""
        while head := await read_head(self.reader):
            request = parse_request(head, azure=self.proxy.server.kind == "azure")
            fault = self.proxy.fault_for(request)
            passed_on = self.proxy.rewrite(request) if self.proxy.rewrite else head
            if not await self._serve(request, passed_on, fault):
                return

    async def _serve(self, request: StoreRequest, head: bytes | None, fault: Fault | None) -> bool:
        """Whether the connection can take another request."""
        cut_request = cut_response = None
        if fault is not None:
            cut_request, cut_response = fault.cut_request_after, fault.cut_response_after
            await asyncio.sleep(fault.delay)
            if fault.hang:
                await hang(fault)
            if fault.status is not None:
                return await self._refuse(request, fault.status)
        if head is None:
            return await self._refuse(request, FORBIDDEN)
        if self.server is None:
            port = self.proxy.server.port
            self.server = await asyncio.open_connection("127.0.0.1", port, limit=PIECE_BYTES)
        answers, server = self.server
        server.write(head)
        sending = asyncio.ensure_future(self._send_body(request, server, cut_request))
        try:
            return await self._answer(request, answers, sending, cut_response)
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
                await sending

    async def _send_body(
        self, request: StoreRequest, server: StreamWriter, cut: int | None
    ) -> None:
        if cut is not None:
            server.transport.set_write_buffer_limits(0)
        async for piece in body(self.reader, request.headers, cut):
            self.proxy.body_bytes_up += len(piece)
            server.write(piece)
            await server.drain()

    async def _answer(
        self,
        request: StoreRequest,
        answers: StreamReader,
        sending: asyncio.Future[None],
        cut: int | None,
    ) -> bool:
        reading = asyncio.ensure_future(read_head(answers))
        both: tuple[asyncio.Future[Any], ...] = (reading, sending)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if sending.done() and sending.exception() is not None:
            reading.cancel()
            sending.result()
        head = await reading
        if not head:
            raise Cut
        status, headers = parse_answer(head)
        self.proxy.statuses[status] += 1
        self.writer.write(head)
        if status == 100:
            return await self._answer(request, answers, sending, cut)
        if request.method == "HEAD" or status in {204, 304}:
            headers = {**headers, "content-length": "0"}
            headers.pop("transfer-encoding", None)
        if cut is not None:
            # Waiting for the buffer then means that what was passed on has really gone.
            self.writer.transport.set_write_buffer_limits(0)
        ends = "content-length" not in headers and "transfer-encoding" not in headers
        async for piece in body(answers, headers, cut, to_end=ends):
            self.proxy.body_bytes_down += len(piece)
            self.writer.write(piece)
            await self.writer.drain()
        await self.writer.drain()
        closing = ends or "close" in headers.get("connection", "").lower()
        # An answer that came before the whole body was read ends the connection.
        return sending.done() and not closing

    async def _refuse(self, request: StoreRequest, status: int) -> bool:
        async for piece in body(self.reader, request.headers, None):
            self.proxy.body_bytes_up += len(piece)
        self.proxy.statuses[status] += 1
        content = b"" if request.method == "HEAD" else REFUSAL
        self.writer.write(
            b"HTTP/1.1 %d Refused\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
            % (status, len(REFUSAL))
        )
        self.writer.write(content)
        await self.writer.drain()
        return True

    def abort(self) -> None:
        """Take both connections away."""
        self.writer.transport.abort()
        if self.server is not None:
            self.server[1].transport.abort()


async def hang(fault: Fault) -> None:
    """Do nothing until the fault is lifted; nobody waits for the answer any longer then."""
    await asyncio.to_thread(fault.over.wait)
    raise Cut
