# SPDX-License-Identifier: Apache-2.0
"""`serve` as a program: start, signals, draining, and workers that must neither die out nor
remain.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.certificates import make_authority
from tests.support.raw import Closed, RawConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).with_name("program.py")
SECONDS = 30.0


class Program:
    """A started program, its lines, and its port."""

    def __init__(self, behaviour: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(behaviour)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: Queue[str] = Queue()
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_lines),
            threading.Thread(target=self._read_errors),
        ]
        for reader in self._readers:
            reader.start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def line(self, beginning: str) -> str:
        """Waits for a line."""
        while not (line := self.lines.get(timeout=SECONDS)).startswith(beginning):
            pass
        return line

    def port(self) -> int:
        """Waits until the program is ready."""
        return int(self.line("ready").rpartition(":")[2])

    def end(self) -> int:
        """Waits for the end; returns the exit code."""
        code = self.process.wait(SECONDS)
        for reader in self._readers:
            reader.join(SECONDS)
        return code

    def close(self) -> None:
        """Nothing remains."""
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@contextlib.contextmanager
def program(behaviour: dict[str, Any] | None = None, **options: Any) -> Iterator[Program]:
    """Runs the program while the block runs."""
    started = Program({**(behaviour or {}), "options": options})
    try:
        yield started
    finally:
        started.close()


def ask(port: int, path: str = "/", *, close: bool = True) -> str:
    """The text of one answer."""
    raw = RawConnection(port)
    ending = "Connection: close\r\n" if close else ""
    raw.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n{ending}\r\n".encode())
    try:
        return raw.answer().body.decode()
    finally:
        raw.socket.close()


def is_running(process: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(processes: set[int]) -> None:
    """Waits until none of the processes runs."""
    end = time.monotonic() + SECONDS
    while any(is_running(process) for process in processes):
        assert time.monotonic() < end, "processes are left"
        time.sleep(0.01)


def workers_of(port: int, number: int) -> set[int]:
    """Asks until so many different processes have answered."""
    seen: set[int] = set()
    end = time.monotonic() + SECONDS
    while len(seen) < number:
        assert time.monotonic() < end, f"only {len(seen)} workers answered"
        with contextlib.suppress(Closed, ConnectionResetError):
            raws = [RawConnection(port) for _ in range(8)]
            for raw in raws:
                raw.send(b"GET /slow/0.05 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            for raw in raws:
                seen.add(int(raw.answer().body.split()[0]))
                raw.socket.close()
    return seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_on_signals(number: signal.Signals) -> None:
    """A signal ends the program in order: lifespan shut down, exit code 0, one process all
    along.
    """
    with program() as running:
        port = running.port()
        assert ask(port) == f"{running.process.pid} serving"
        running.process.send_signal(number)
        assert running.end() == 0
        running.line("shutdown")


def soon_refused(port: int) -> bool:
    """Whether nobody accepts connections any more, within a generous time."""
    for _ in range(100):
        try:
            RawConnection(port).socket.close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_in_flight_finish(workers: int) -> None:
    """After SIGTERM nothing new is accepted, and what is being answered is answered."""
    with program(workers=workers) as running:
        port = running.port()
        idle, busy = RawConnection(port), RawConnection(port)
        idle.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert idle.answer().status == 200
        busy.send(b"GET /slow/0.5 HTTP/1.1\r\nHost: h\r\n\r\n")
        running.line("working")
        running.process.send_signal(signal.SIGTERM)

        assert idle.is_closed()
        assert soon_refused(port)  # by the other worker, too
        answer = busy.answer()
        assert answer.body.endswith(b" draining")
        assert answer.headers.get("Connection") == "close"
        assert running.end() == 0
        for raw in (idle, busy):
            raw.socket.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_drain_delay(workers: int) -> None:
    """During the delay requests are answered on new connections, which end with their reply; a
    second signal ends it.
    """
    with program(drain_delay=600.0, workers=workers) as running:
        port = running.port()
        open_before = RawConnection(port)
        open_before.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert "Connection" not in open_before.answer().headers
        running.process.send_signal(signal.SIGTERM)
        answer = None
        while answer is None or answer.body.endswith(b"serving"):
            open_before.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = open_before.answer()

        assert answer.headers.get("Connection") == "close"
        assert ask(port)
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        open_before.socket.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_drain_follows_the_delay(workers: int) -> None:
    """After the delay nothing new is accepted, and the program ends."""
    with program(drain_delay=0.3, workers=workers) as running:
        port = running.port()
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        assert soon_refused(port)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("abstract", [False, True])
def test_service_manager_is_told(
    workers: int, *, abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket in NOTIFY_SOCKET hears when requests are answered and when the end begins, from
    the process that was started.
    """
    name = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        manager.settimeout(SECONDS)
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        with program(workers=workers) as running:
            heard = [receive(manager)]
            assert ask(running.port())
            running.process.send_signal(signal.SIGTERM)
            heard.append(receive(manager))
            assert running.end() == 0

        sender = running.process.pid
        assert heard == [(b"READY=1", sender), (b"STOPPING=1", sender)]


def receive(manager: socket.socket) -> tuple[bytes, int]:
    """A datagram and the process that sent it."""
    data, extra, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(12))
    (credentials,) = (content for _, kind, content in extra if kind == socket.SCM_CREDENTIALS)
    return data, int.from_bytes(credentials[:4], sys.byteorder)


def test_service_manager_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manager that does not listen keeps nobody from serving."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    with program() as running:
        assert ask(running.port())


@pytest.mark.parametrize("workers", [1, 2])
def test_drain_time_ends(workers: int) -> None:
    """What takes longer than the drain time is cut off and logged."""
    with program(drain_seconds=0.2, workers=workers) as running:
        raw = RawConnection(running.port())
        raw.send(b"GET /slow/60 HTTP/1.1\r\nHost: h\r\n\r\n")
        running.line("working")
        running.process.send_signal(signal.SIGTERM)

        with pytest.raises(Closed):
            raw.answer()
        assert running.end() == 0
        assert any("1 requests were cut off" in line for line in running.errors)
        raw.socket.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_second_signal_stops_at_once(workers: int) -> None:
    """Whoever asks twice does not wait for requests in flight."""
    with program(workers=workers) as running:
        raw = RawConnection(running.port())
        raw.send(b"GET /slow/60 HTTP/1.1\r\nHost: h\r\n\r\n")
        running.line("working")
        running.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + SECONDS
        while not any("stopping" in line for line in running.errors):
            assert time.monotonic() < end
            time.sleep(0.01)
        running.process.send_signal(signal.SIGINT)

        with pytest.raises(Closed):
            raw.answer()
        assert running.end() == 0
        raw.socket.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("startup", "words"),
    [("failed", "no database"), ("raise", "no disk"), ("factory", "no settings")],
)
def test_application_that_does_not_start(workers: int, startup: str, words: str) -> None:
    """A failed start is said and ends everything with the exit code for it."""
    with program({"startup": startup}, workers=workers) as running:
        assert running.end() == 3
        assert any(words in line for line in running.errors)
        assert not any("Traceback" in line for line in running.errors)
        assert running.lines.empty()


def test_taken_port_ends_the_program() -> None:
    """A port that is taken is one line and the exit code for a failed start."""
    with program() as first, program(port=first.port()) as second:
        assert second.end() == 3
        assert "stop the other server" in second.errors[0]
        assert not any("Traceback" in line for line in second.errors)


def test_bad_certificate_ends_the_program(tmp_path: Path) -> None:
    """A certificate that is not there is one line and the exit code for a failed start."""
    missing = str(tmp_path / "missing.pem")
    with program(tls=[missing]) as running:
        assert running.end() == 3
        assert any(missing in line for line in running.errors)


def test_certificate_is_watched(tmp_path: Path) -> None:
    """A changed certificate comes into use without a restart."""
    authority = make_authority(tmp_path)
    pair = authority.issue("localhost")
    with program(tls=[str(path) for path in pair]) as running:
        running.port()
        for source, target in zip(authority.issue("localhost"), pair, strict=True):
            target.write_bytes(source.read_bytes())
        end = time.monotonic() + SECONDS
        while not any("a new TLS certificate is in use" in line for line in running.errors):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_unix_socket_is_removed(tmp_path: Path) -> None:
    """A server that ends takes its socket with it."""
    path = tmp_path / "s"
    with program(unix_socket=str(path)) as running:
        running.line("ready")
        assert path.exists()
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        assert not path.exists()


def test_workers_share_the_port() -> None:
    """Every worker answers, and all end with the supervisor's signal."""
    with program(workers=3) as running:
        port = running.port()
        workers = workers_of(port, 3)
        assert running.process.pid not in workers
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        assert [running.line("shutdown") for _ in range(3)]
        wait_until_gone(workers)


def test_dead_worker_is_replaced() -> None:
    """A worker that dies is replaced, while the others go on answering."""
    with program(workers=2) as running:
        port = running.port()
        before = workers_of(port, 2)
        with pytest.raises(Closed):
            ask(port, "/die")
        victim = next(iter(before))
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        end = time.monotonic() + SECONDS
        while len(workers_of(port, 2) - before) < 1:
            assert time.monotonic() < end
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
        assert any("a new one starts" in line for line in running.errors)


def test_signal_while_workers_start() -> None:
    """A signal in the moment of the fork ends the workers too, instead of being swallowed."""
    for _ in range(8):
        with program(workers=2) as running:
            pid = running.process.pid
            children = Path(f"/proc/{pid}/task/{pid}/children")
            end = time.monotonic() + SECONDS
            while not children.read_text():
                assert time.monotonic() < end, "no worker was started"
            running.process.send_signal(signal.SIGTERM)
            assert running.end() == 0


def test_killed_supervisor_leaves_nobody() -> None:
    """After `kill -9` of the supervisor no worker stays behind on the port."""
    with program(workers=2) as running:
        workers = workers_of(running.port(), 2)
        running.process.kill()
        wait_until_gone(workers)
