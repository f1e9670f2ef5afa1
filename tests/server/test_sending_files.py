# SPDX-License-Identifier: Apache-2.0
"""Files as bodies: the kernel's way on plain connections, pieces over TLS, and what can go
wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from moorage.server import sending_files
from moorage.server.options import ConnectionLimits, ServerOptions, TLSOptions
from tests.server.certificates import make_authority
from tests.server.running import Running, running
from tests.support.raw import Closed, RawConnection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from moorage.server.asgi import ASGIApp, Receive, Scope, Send

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
SMALL, LARGE = 20_000, 5_000_000
CONTENT = os.urandom(LARGE)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of several steps' size."""
    path = tmp_path_factory.mktemp("files") / "blob"
    path.write_bytes(CONTENT)
    return path


def serving(path: Path, *, length: int | None = None, **part: Any) -> ASGIApp:
    """An application that sends a part of a file."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [] if length is None else [(b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with path.open("rb", buffering=0) as opened:
            await send({"type": "http.response.zerocopysend", "file": opened, **part})

    return app


@contextlib.contextmanager
def connected(server: Running) -> Iterator[RawConnection]:
    """A connection that is closed at the end."""
    raw = RawConnection(server.port)
    try:
        yield raw
    finally:
        raw.socket.close()


@pytest.mark.parametrize(
    ("offset", "count"), [(0, LARGE), (0, SMALL), (12_345, 3_000_000), (LARGE - 1, 1), (7, 0)]
)
def test_part_of_a_file(file: Path, offset: int, count: int) -> None:
    """Exactly the bytes asked for are sent, small and large, and the connection stays in step."""
    app = serving(file, length=count, offset=offset, count=count)
    with running(app) as server, connected(server) as raw:
        for _ in range(3):
            raw.send(GET)
            assert raw.answer().body == CONTENT[offset : offset + count]


def test_defaults_reach_to_the_end(file: Path) -> None:
    """Without offset and count the file goes from where it stands to its end."""
    with running(serving(file, length=LARGE)) as server, connected(server) as raw:
        raw.send(GET)
        assert raw.answer().body == CONTENT


def test_file_number(file: Path) -> None:
    """A number of an open file is as good as a file object."""
    number = os.open(file, os.O_RDONLY)

    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.zerocopysend", "file": number, "offset": 3, "count": 5})

    try:
        with running(app) as server, connected(server) as raw:
            raw.send(GET)
            assert raw.answer().body == CONTENT[3:8]
    finally:
        os.close(number)


@pytest.mark.parametrize("length", [None, 2 * SMALL + LARGE + 2])
def test_mixed_with_pieces(file: Path, length: int | None) -> None:
    """Parts of files and pieces make one body, with a length or in chunks."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [] if length is None else [(b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        part = {"type": "http.response.zerocopysend", "more_body": True}
        with file.open("rb", buffering=0) as opened:
            await send({**part, "file": opened, "offset": 0, "count": SMALL})
            await send({"type": "http.response.body", "body": b"--", "more_body": True})
            await send({**part, "file": opened, "offset": 0, "count": LARGE})
            await send({**part, "file": opened, "offset": 5, "count": SMALL, "more_body": False})

    with running(app) as server, connected(server) as raw:
        for _ in range(2):
            raw.send(GET)
            assert raw.answer().body == (CONTENT[:SMALL] + b"--" + CONTENT + CONTENT[5 : 5 + SMALL])


def test_head_sends_no_file(file: Path) -> None:
    """HEAD announces the length and sends nothing of the file."""
    app = serving(file, length=LARGE, offset=0, count=LARGE)
    with running(app) as server, connected(server) as raw:
        raw.send(GET.replace(b"GET", b"HEAD") + GET)
        assert raw.answer(method="HEAD").headers.get("Content-Length") == str(LARGE)
        assert raw.answer().body == CONTENT


@pytest.mark.parametrize("count", [SMALL, LARGE])
def test_truncated_file(tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is shorter than promised cuts the connection and is logged."""
    short = tmp_path / "short"
    short.write_bytes(b"x" * (count - 1000))
    app = serving(short, length=count, offset=0, count=count)
    with running(app) as server, connected(server) as raw:
        raw.send(GET)
        with pytest.raises(Closed):
            raw.answer()

    assert any("failed" in record.message for record in caplog.records)


@pytest.mark.parametrize("where", ["memory", "disk", "unknown"])
def test_pages_in_memory_or_not(file: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are the same whether the kernel has them, must fetch them, or cannot tell."""
    if where == "disk":
        monkeypatch.setattr(sending_files, "_in_memory", lambda *_: False)
    elif where == "unknown":
        monkeypatch.setattr(sending_files, "_NOWAIT", 1 << 30)  # a flag that no kernel knows
    app = serving(file, length=LARGE, offset=0, count=LARGE)
    with running(app) as server, connected(server) as raw:
        for _ in range(2):
            raw.send(GET)
            assert raw.answer().body == CONTENT


def test_client_leaves_in_the_middle(file: Path) -> None:
    """The application is told that the client has left, and the file is closed."""
    seen: list[BaseException] = []
    over = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % (100 * LARGE))],
            }
        )
        try:
            with file.open("rb", buffering=0) as opened:
                for _number in range(100):
                    part = {"type": "http.response.zerocopysend", "file": opened}
                    await send({**part, "offset": 0, "count": LARGE, "more_body": True})
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


def test_reader_that_stops_is_cut_off(file: Path) -> None:
    """A client that takes nothing for `body_seconds` loses its connection; others do not notice."""
    app = serving(file, length=LARGE, offset=0, count=LARGE)
    limits = ConnectionLimits(body_seconds=0.2)
    with running(app, limits=limits) as server:
        stopped = socket.socket()
        stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stopped.connect(("127.0.0.1", server.port))
        stopped.settimeout(20)
        stopped.sendall(GET * 10)
        with connected(server) as raw:
            raw.send(GET)
            assert len(raw.answer().body) == LARGE
        server.until(lambda: not server.server._connections)
        with pytest.raises(ConnectionResetError):
            read_to_the_end(stopped)
        stopped.close()


def read_to_the_end(connection: socket.socket) -> None:
    """Reads until the server has closed."""
    while connection.recv(65536):
        pass


def test_over_tls(file: Path, tmp_path: Path) -> None:
    """TLS connections get the same bytes, and stay in step."""
    authority = make_authority(tmp_path)
    options = ServerOptions(port=0, tls=TLSOptions(*authority.issue("localhost")))
    context = ssl.create_default_context(cafile=authority.certificate)
    app = serving(file, length=LARGE, offset=0, count=LARGE)
    with running(app, options=options) as server, connected(server) as raw:
        raw.socket = context.wrap_socket(raw.socket, server_hostname="localhost")
        for _ in range(2):
            raw.send(GET)
            assert raw.answer().body == CONTENT
