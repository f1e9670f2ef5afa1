# SPDX-License-Identifier: Apache-2.0
"""A registry under strace, and what it asked of the kernel: syncs, renames, replies, in order.

A call has a beginning and an end in the trace, because other threads' calls fall between. One call
is before another only if it had ended when the other began.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.registry import MOORAGE, RunningRegistry
from tests.support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TRACED = "fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg,write,writev"
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_FILE = re.compile(r"\d+<([^>]*)>")
_UNFINISHED = "<unfinished ...>"
# strace writes a call down as it sees it; this only bounds a test that has gone wrong.
SETTLE_SECONDS = 20.0


@dataclass(slots=True)
class Call:
    """One system call: where its lines begin and end in the trace."""

    name: str
    text: str
    begin: int
    end: int = -1

    @property
    def path(self) -> str:
        """The file of its first argument."""
        found = _FILE.match(self.text)
        return found[1] if found else ""

    @property
    def is_sync(self) -> bool:
        """Whether it makes something durable."""
        return self.name in {"fsync", "fdatasync"}

    @property
    def is_rename(self) -> bool:
        """Whether it gives a file another name."""
        return self.name.startswith("rename")

    def is_reply(self, status: int) -> bool:
        """Whether it sends the head of a reply with this status."""
        return f'"HTTP/1.1 {status} ' in self.text

    def before(self, other: Call) -> bool:
        """Whether it was over when the other began."""
        return 0 <= self.end < other.begin


class TracedRegistry:
    """A registry and the trace of its calls."""

    def __init__(self, registry: RunningRegistry, trace: Path) -> None:
        self.registry = registry
        self._trace = trace

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.registry.host}"

    def calls(self) -> list[Call]:
        """Everything so far."""
        calls: list[Call] = []
        open_calls: dict[tuple[str, str], Call] = {}
        for number, line in enumerate(self._trace.read_text(errors="replace").splitlines()):
            if resumed := _RESUMED.match(line):
                call = open_calls.pop((resumed[1], resumed[2]), None)
                if call is not None:
                    call.end = number
            elif begun := _CALL.match(line):
                call = Call(begun[2], begun[3], number)
                calls.append(call)
                if line.endswith(_UNFINISHED):
                    open_calls[begun[1], begun[2]] = call
                else:
                    call.end = number
        return calls

    @contextmanager
    def watching(self, replies: int, status: int = 201) -> Iterator[list[Call]]:
        """The calls made meanwhile, complete when so many replies of this status are among them."""
        before = len(self.calls())
        found: list[Call] = []
        yield found
        deadline = time.monotonic() + SETTLE_SECONDS
        while sum(call.is_reply(status) for call in found) < replies:
            assert time.monotonic() < deadline, f"not {replies} replies in {found}"
            time.sleep(0.02)
            found[:] = self.calls()[before:]


@contextmanager
def traced(folder: Path, config: Mapping[str, object], *options: str) -> Iterator[TracedRegistry]:
    """Run a registry under strace; skip the test where that cannot be done."""
    strace = need("strace", "strace")
    allowed = subprocess.run([strace, "-f", "true"], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("strace may not trace here (ptrace is not permitted)")
    trace = folder / "trace"
    command: Sequence[str] = (
        *(strace, "-f", "-y", "-s", "80", "-e", f"trace={TRACED}", *options, "-o", str(trace)),
        *MOORAGE,
    )
    registry = RunningRegistry(folder, config, program=command)
    registry.start()
    try:
        yield TracedRegistry(registry, trace)
        _end(registry)
    finally:
        process = registry.process
        if process is not None and process.poll() is None:
            registry.kill()


def _end(registry: RunningRegistry) -> None:
    """A signal to strace would leave the registry alone: it goes to the registry itself."""
    process = registry.process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        subprocess.run(["kill", f"-{signal.SIGTERM.value}", child], check=True)
    assert process.wait(30) == 0
