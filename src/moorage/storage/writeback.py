# SPDX-License-Identifier: Apache-2.0
"""Lets the disk begin with a large upload while the rest of it still arrives.

The kernel may hold gigabytes of a fast upload in memory; the fsync at its end would then take
longer than the 30 seconds that clients wait for an answer. Asking for the pages to be written as
they come (sync_file_range) spreads that work over the transfer. It promises nothing: durability is
the business of the fsync alone, which finds less to do.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

# Often enough for a disk of 100 MB/s to stay near, seldom enough that a thread costs nothing.
STEP_BYTES = 16 * 1024 * 1024
_SYNC_FILE_RANGE_WRITE = 2


class Writeback:
    """Starts writing what uploads have left in memory, step by step in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writeback")
        self._call = _sync_file_range()

    def begin(self, path: str, start: int, stop: int) -> Future[None] | None:
        """Ask for these bytes of the file to be written, if it is still there by then."""
        if self._call is None:
            return None
        return self._thread.submit(self._write, path, start, stop)

    def _write(self, path: str, start: int, stop: int) -> None:
        # Opened anew: a duplicate of the upload's descriptor would keep its lock after the request.
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if self._call is not None:
                self._call(file, start, stop - start, _SYNC_FILE_RANGE_WRITE)
        finally:
            os.close(file)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """The system call, where the C library has it (Linux)."""
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

    def call(file: int, start: int, length: int, flags: int) -> int:
        result: int = function(file, start, length, flags)
        return result

    return call
