# SPDX-License-Identifier: Apache-2.0
"""Servers as processes: start, wait until they answer, stop, and what the kernel says they used.

Knows nothing about registries. CPU seconds cover the whole tree below a server, including children
that have ended and were waited for, so a server cannot look cheap by handing its work to helpers.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.002
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerFailedError(Exception):
    """A server did not start, did not answer or died; the message ends with its last output."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process tree in bytes; shared pages count once in `proportional`."""

    resident: int
    proportional: int


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def process_tree(root: int) -> list[int]:
    """The process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the tree so far, ended and waited-for children included."""
    ticks = 0
    for pid in process_tree(root):
        fields = _stat_fields(pid)
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_SECOND


def memory(root: int) -> Memory:
    """What the tree has resident now."""
    totals = {"Rss:": 0, "Pss:": 0}
    for pid in process_tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, *rest = line.split()
            if name in totals:
                totals[name] += int(rest[0]) * 1024
    return Memory(resident=totals["Rss:"], proportional=totals["Pss:"])


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command, which may itself contain spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


class ServerProcess:
    """One started server; its output goes to a file beside its data."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.command = tuple(command)
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The first process of the tree."""
        return self._process.pid

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Return as soon as the server answers; raise with its output when it never does."""
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            self.check_alive()
            if time.monotonic() > deadline:
                raise ServerFailedError(
                    self._failure(f"did not answer within {START_SECONDS:.0f} s")
                )
            time.sleep(POLL_SECONDS)

    def check_alive(self) -> None:
        """Raise with the server's last words when it has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise ServerFailedError(self._failure(f"ended with code {code}"))

    def stop(self) -> None:
        """Ask politely, then end the session this server was started in."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def _failure(self, what: str) -> str:
        tail = self._log.read_text(errors="replace")[-2000:]
        return f"{' '.join(self.command)} {what}; its output ends:\n{tail}"
