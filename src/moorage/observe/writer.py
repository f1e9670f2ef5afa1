# SPDX-License-Identifier: Apache-2.0
"""Where lines go: a binary stream, at once or within a second.

Knows nothing of what the lines say. Invariants: lines are never mixed and never change their
order; a stream that cannot be written to loses lines, but never stops the registry.
"""

from __future__ import annotations

import asyncio
import threading
from typing import IO

# A line may wait so long for others to share a system call with; nginx flushes buffered access
# logs when it is told to, with one second as the usual choice.
FLUSH_SECONDS = 1.0

# Some three hundred access lines; also the capacity of a Linux pipe.
MAX_BUFFERED_BYTES = 64 * 1024


class LineWriter:
    """Writes whole lines to a stream; from any thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._size = 0
        self._flushing_loop: asyncio.AbstractEventLoop | None = None
        self._lost = 0

    def write(self, line: bytes) -> None:
        """Write the line, after all that came before it, before this returns."""
        with self._lock:
            self._lines.append(line)
            self._write_out()

    def write_soon(self, line: bytes) -> None:
        """Write the line within a second; at once where no event loop runs."""
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            if self._size >= MAX_BUFFERED_BYTES or not self._is_flush_planned():
                self._write_out()

    def _is_flush_planned(self) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        # Another loop's timer may never fire: that loop may be over.
        if self._flushing_loop is not loop:
            loop.call_later(FLUSH_SECONDS, self._flush_on_time)
            self._flushing_loop = loop
        return True

    def _flush_on_time(self) -> None:
        with self._lock:
            self._flushing_loop = None
            self._write_out()

    def flush(self) -> None:
        """Write everything that waits."""
        with self._lock:
            self._write_out()

    def _write_out(self) -> None:
        if not self._lines:
            return
        lines, self._lines, self._size = self._lines, [], 0
        notice = b"%d log lines were lost\n" % self._lost if self._lost else b""
        try:
            self._stream.write(notice + b"".join(lines))
            self._stream.flush()
            self._lost = 0
        except (OSError, ValueError):
            # A full disk or a reader that went away; there is nobody left to tell.
            self._lost += len(lines)
