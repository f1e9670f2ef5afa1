# SPDX-License-Identifier: Apache-2.0
"""The write-ahead log of a SQLite database: made durable for many at once, and kept short.

A commit under `synchronous=NORMAL` is a few memory copies: it is visible to every process at once
and survives the end of ours, and the write lock is free again before any disk is waited for. What
must also survive a power cut waits for `WalKeeper.synced`: one fdatasync of the log, off the event
loop, serves everybody who committed before it began (https://sqlite.org/wal.html, section 3.3).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# SQLite's own rule (after 1,000 pages) would checkpoint inside a commit, on the event loop. A
# commit of ours writes 5 to 20 pages, so the log grows to some 40 MB: read in a blink at start.
COMMITS_PER_CHECKPOINT = 1000


class WalKeeper:
    """Syncs and checkpoints the log beside `database`; all waiting is done in threads."""

    def __init__(self, database: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = database.with_name(database.name + "-wal")
        self._connect = connect
        self._file = -1
        self._waiting: list[asyncio.Future[None]] = []
        self._syncing: asyncio.Task[None] | None = None
        self._checkpoint: asyncio.Task[None] | None = None
        self._commits = 0

    async def start(self) -> None:
        """Clear away what a killed process has left: it may never have come to a checkpoint."""
        await asyncio.to_thread(self._checkpoint_now)

    def committed(self) -> None:
        """Count a commit; every so many, copy the log into the database in the background."""
        self._commits += 1
        if self._commits >= COMMITS_PER_CHECKPOINT and self._checkpoint is None:
            self._commits = 0
            self._checkpoint = asyncio.create_task(self._run_checkpoint())

    async def synced(self) -> None:
        """Return once everything committed so far has reached the disk.

        Raises:
            OSError: the disk refused; what was committed may not survive a power cut.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync_all())
        await waiter

    async def _sync_all(self) -> None:
        try:
            while self._waiting:
                served, self._waiting = self._waiting, []
                try:
                    await asyncio.to_thread(self._sync)
                except OSError as error:
                    _settle(served, error)
                else:
                    _settle(served, None)
        finally:
            self._syncing = None

    def _sync(self) -> None:
        if self._file < 0:
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        os.fdatasync(self._file)

    async def _run_checkpoint(self) -> None:
        try:
            await asyncio.to_thread(self._checkpoint_now)
        finally:
            self._checkpoint = None

    def _checkpoint_now(self) -> None:
        # Another process is at it, or the disk is full: the log is whole, a later turn shortens it.
        with suppress(sqlite3.OperationalError), closing(self._connect()) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    async def close(self) -> None:
        """Finish what is under way and let go of the log."""
        for task in (self._syncing, self._checkpoint):
            if task is not None:
                await asyncio.gather(task, return_exceptions=True)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _settle(waiters: list[asyncio.Future[None]], error: OSError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
