# SPDX-License-Identifier: Apache-2.0
"""Small requests by the thousand: wrk (and a loop of our own for HEAD), and what they cost.

The client's own CPU comes with each figure: a row whose client was busy all the time says more
about wrk than about the server.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bench.wire import UnexpectedReplyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.contestants import Contestant

CONNECTIONS = 16
Sample: TypeAlias = dict[str, float]

_REPORT = """
done = function(summary, latency, requests)
  io.write(string.format("@%d %d %d %d %d\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


def run_wrk(
    contestant: Contestant,
    target: str,
    seconds: float,
    *,
    headers: Mapping[str, str] | None = None,
    lua: str = "",
) -> Sample:
    """Ask for one target (or what the Lua code chooses) on 16 connections from one thread."""
    fields = {**contestant.headers(), **(headers or {})}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "load.lua")
        path.write_text(lua + _REPORT)
        command = [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{max(1, round(seconds))}s",
            "-s",
            str(path),
        ]
        for name, value in fields.items():
            command += ["-H", f"{name}: {value}"]
        before = contestant.cpu()
        output, client = run_counted([*command, contestant.url(target)])
        used = contestant.cpu() - before
    report = next(line[1:] for line in output.splitlines() if line.startswith("@"))
    requests, microseconds, errors, median, slow = (int(word) for word in report.split())
    if errors or not requests:
        raise UnexpectedReplyError(f"{contestant.title} {target}: {errors} failed\n{output}")
    elapsed = microseconds / 1e6
    return {
        "rate": requests / elapsed,
        "cpu": used / requests,
        "client": client / elapsed,
        "p50": median / 1e6,
        "p99": slow / 1e6,
    }


def run_heads(contestant: Contestant, target: str, seconds: float) -> Sample:
    """HEAD requests on 16 connections; wrk waits for a body that a HEAD never has."""
    connections = [contestant.connect() for _ in range(CONNECTIONS)]
    request = connections[0].head("HEAD", target, {})
    sockets = {connection.socket.fileno(): connection.socket for connection in connections}
    taken: list[float] = []
    with contextlib.ExitStack() as stack, select.epoll() as poll:
        for connection in connections:
            stack.enter_context(connection)
            poll.register(connection.socket.fileno(), select.EPOLLIN)
        used, client = contestant.cpu(), time.process_time()
        started = now = time.perf_counter()
        asked = dict.fromkeys(sockets, started)
        for place in sockets.values():
            place.sendall(request)
        while now < started + seconds:
            for descriptor, _ in poll.poll():
                reply = sockets[descriptor].recv(4096)
                if not reply.startswith(b"HTTP/1.1 200 ") or not reply.endswith(b"\r\n\r\n"):
                    raise UnexpectedReplyError(f"{contestant.title} HEAD {target}: {reply!r}")
                now = time.perf_counter()
                taken.append(now - asked[descriptor])
                asked[descriptor] = now
                sockets[descriptor].send(request)
        elapsed, client = now - started, time.process_time() - client
        used = contestant.cpu() - used
    taken.sort()
    return {
        "rate": len(taken) / elapsed,
        "cpu": used / len(taken),
        "client": client / elapsed,
        "p50": taken[len(taken) // 2],
        "p99": taken[len(taken) * 99 // 100],
    }


def run_counted(command: list[str]) -> tuple[str, float]:
    """Run a client to its end; return its output and its CPU seconds."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise UnexpectedReplyError(f"{command[0]} ended with {process.returncode}:\n{output}")
    return output, usage.ru_utime + usage.ru_stime
