# SPDX-License-Identifier: Apache-2.0
"""A registry under attack, and what must hold of it before, during and after.

It answers 2xx, 4xx, or hangs up; it logs no traceback, keeps its memory, writes nothing outside
its folder, and goes on serving others.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.raw import Closed, RawConnection
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.registry import RunningRegistry
    from tests.support.wire import Answer

MIB = 1024 * 1024

# HTTP's own words for a version or a transfer coding that does not exist (RFC 9112, 2.6 and 6.1).
NOT_IN_HTTP = {501, 505}

# What could not be understood as a request at all is refused in words, not in the protocol's JSON.
PLAIN = "text/plain; charset=utf-8"

# What the process may grow by while it is attacked. A manifest of 4 MiB that is all brackets
# becomes about 50 MB while it is checked, and the allocator keeps some of it.
ALLOWED_GROWTH = 150 * MIB


@dataclass(slots=True)
class Victim:
    """One running registry."""

    registry: RunningRegistry
    log_read: int = field(default=0)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.registry.port

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.registry.host}"

    def connect(self, *, seconds: float = 20.0) -> RawConnection:
        """A connection for raw bytes."""
        return RawConnection(self.port, seconds=seconds)

    def send(self, data: bytes, *, method: str = "GET", finish: bool = False) -> Answer | None:
        """Send bytes on a connection of their own; the answer, or None if it just hangs up."""
        with self.connect() as connection:
            connection.send(data)
            if finish:
                connection.finish_sending()
            try:
                answer = connection.answer(method=method)
            except Closed:
                return None
        assert_civil(answer)
        return answer

    def memory(self) -> int:
        """The resident bytes of all its processes together."""
        pages = 0
        for process in self.processes():
            pages += int((process / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processes(self) -> Iterator[Path]:
        """The folders in /proc of every process in its group."""
        assert self.registry.process is not None
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and _group(folder) == self.registry.process.pid:
                yield folder

    def assert_unharmed(self) -> None:
        """It is alive, serves, has logged no fault of its own and written to its folder only."""
        assert self.registry.process is not None
        assert self.registry.process.poll() is None, self.registry.log[-4000:]
        with Wire(self.url) as wire:
            assert wire.get("/v2/").status == 200
        log = self.registry.log
        new, self.log_read = log[self.log_read :], len(log)
        faults = [line for line in new.splitlines() if is_fault(line)]
        assert not faults, "\n".join(faults[:20])
        beside = {entry.name for entry in self.registry.folder.iterdir()}
        assert beside <= {"data", "config.yml", "registry.log"}, beside


def _group(folder: Path) -> int | None:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[2])
    except (OSError, ValueError):
        return None


def is_fault(line: str) -> bool:
    """Whether a line of the log tells of a fault in the registry itself."""
    if "Traceback" in line or "exception was never retrieved" in line:
        return True
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and entry.get("level") in {"error", "critical", "fatal"}


def assert_civil(answer: Answer) -> None:
    """Neither a fault nor a redirect, and nothing of the inside in the words."""
    assert 200 <= answer.status < 500 or answer.status in NOT_IN_HTTP, answer
    assert not 300 <= answer.status < 400 or answer.status == 304, answer
    assert b"Traceback" not in answer.body, answer
    assert b'File "' not in answer.body, answer
    if answer.status >= 400 and answer.body and answer.headers["Content-Type"] != PLAIN:
        assert answer.error_codes(), answer
