# SPDX-License-Identifier: Apache-2.0
"""SQLite as the database: one file, any number of processes, no thread on the way of a read.

Reads run where they are asked for: a point read takes some 20 microseconds, a hop to a thread takes
more. Writes gather: everything that waits runs under one `BEGIN IMMEDIATE … COMMIT`, each
transaction in a savepoint of its own, and whoever asked for durability then shares one sync of the
log (`wal`). The write lock is therefore never held while a disk is waited for.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from moorage.db.migrations import SchemaTooNew
from moorage.db.moving_marks import mark_in, read_mark, refusal_of
from moorage.db.read_cache import ReadCache
from moorage.db.sqlite_dialect import statement
from moorage.db.sqlite_file import make_database, unusable
from moorage.db.sqlite_migrations import bring_up_to_date
from moorage.db.sqlite_view import sqlite_view
from moorage.db.wal import WalKeeper
from moorage.spec.errors import InsufficientStorage, OCIError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import Any

    from moorage.db.protocol import Row, Transaction, Value
    from moorage.db.sqlite_view import SQLiteView

T = TypeVar("T")

# Several processes take turns of about a millisecond; a lock held this long means a stuck one.
LOCK_SECONDS = 30.0
FIRST_RETRY_SECONDS = 0.0005
LONGEST_RETRY_SECONDS = 0.02
# Covers the upper levels of the indexes of a large catalogue; the rest is the page cache's work. A
# mapped file would count as this process's memory, up to its whole size.
CACHE_KIB = 8 * 1024
_PRAGMAS = (
    "synchronous = NORMAL",
    "wal_autocheckpoint = 0",
    f"cache_size = -{CACHE_KIB}",
    "temp_store = MEMORY",
)
_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SQLiteDatabase:
    """The catalogue in one file; `moorage.db.protocol.Database` says what its methods promise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = WalKeeper(path, self._connect)
        self._queue: deque[_Waiting[Any]] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        try:
            if mark := read_mark(self._path):
                raise mark.refusal()
            make_database(self._path)
            await self._open()
        except (OSError, sqlite3.Error, SchemaTooNew, OCIError) as error:
            raise unusable(self._path, error) from error

    async def _open(self) -> None:
        self._writer = self._connect()
        try:
            self._writer.execute("PRAGMA foreign_keys = ON")
            # `_begin` waits, without blocking the loop
            self._writer.execute("PRAGMA busy_timeout = 0")
            await self._begin()
            self._migrate()
            await self._wal.start()
        except BaseException:
            self._writer.close()
            raise
        self._reader = self._connect()
        self._reader.execute("PRAGMA query_only = ON")
        self._reader.execute("PRAGMA busy_timeout = 1000")  # the event loop waits with it
        self._cache = ReadCache(self._reader)
        self._transaction = _SQLiteTransaction(self._writer)

    async def close(self) -> None:
        if self._writing is not None:
            await self._writing
        await self._wal.close()
        self._reader.close()
        self._writer.close()

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        return self._cache.fetch_one(statement(sql), arguments)

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        return self._reader.execute(statement(sql), arguments).fetchall()

    async def transaction(
        self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = True
    ) -> T:
        waiting = _Waiting(work, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        result: T = await waiting.result
        if durable:
            try:
                await self._wal.synced()
            except OSError as error:
                raise Unavailable("the database could not reach its disk") from error
        return result

    def data_version(self) -> int:
        """A number that is another one after any commit, by whichever process."""
        version: int = self._reader.execute("PRAGMA data_version").fetchone()[0]
        return version

    def view(self) -> AbstractAsyncContextManager[SQLiteView]:
        return sqlite_view(self._connect)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=LOCK_SECONDS,
            isolation_level=None,
            cached_statements=512,
            check_same_thread=False,
        )
        try:
            self._use_log(connection)
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _use_log(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log; on a file that others are opening too SQLite refuses
        without waiting (https://sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY").
        """
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _BUSY_CODES or time.monotonic() > deadline:
                    raise
                time.sleep(FIRST_RETRY_SECONDS * random.uniform(1, 20))  # noqa: S311 (as above)
            else:
                return

    def _migrate(self) -> None:
        """Bring the schema up to date inside the transaction that is open, then commit it."""
        try:
            self._refuse_if_moved()  # since `start` has looked
            bring_up_to_date(self._writer)
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")

    def _refuse_if_moved(self) -> None:
        if mark := mark_in(self._writer):
            raise mark.refusal()

    async def _write_all(self) -> None:
        try:
            while self._queue:
                try:
                    await self._begin()
                except OCIError as error:
                    _fail(self._take(), error)
                    continue
                self._write(self._take())
        finally:
            self._writing = None

    def _take(self) -> list[_Waiting[Any]]:
        batch = list(self._queue)
        self._queue.clear()
        return batch

    async def _begin(self) -> None:
        """Take the write lock, waiting for other processes without blocking this one."""
        retry, waited = FIRST_RETRY_SECONDS, 0.0
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if error.sqlite_errorcode & 0xFF not in _BUSY_CODES:
                    raise _refusal(error) from error
                if waited > LOCK_SECONDS:
                    message = f"another process has held the database for {LOCK_SECONDS:.0f} s"
                    raise Unavailable(message) from error
            else:
                return
            pause = retry * random.uniform(0.5, 1.5)  # noqa: S311 (spreads retries, hides nothing)
            await asyncio.sleep(pause)
            waited += pause
            retry = min(retry * 2, LONGEST_RETRY_SECONDS)

    def _write(self, batch: list[_Waiting[Any]]) -> None:
        """Run the batch and commit it: one event loop step, so nothing sees a half of it."""
        try:
            if len(batch) == 1:
                kept = batch[0].run_alone(self._transaction)
            else:
                kept = True
                for waiting in batch:
                    waiting.run_among_others(self._writer, self._transaction)
            self._writer.execute("COMMIT" if kept else "ROLLBACK")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            _fail(batch, _refusal(error))
            return
        self._wal.committed()
        for waiting in batch:
            waiting.settle()


class _SQLiteTransaction:
    """The open write transaction; nothing in it really waits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        row: Row | None = self._connection.execute(statement(sql), arguments).fetchone()
        return row

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        return self._connection.execute(statement(sql), arguments).fetchall()

    async def execute(self, sql: str, *arguments: Value) -> int:
        return self._connection.execute(statement(sql), arguments).rowcount

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(statement(sql), rows)


class _Waiting(Generic[T]):
    """A transaction that waits for its turn, and what became of it."""

    __slots__ = ("_outcome", "_refused", "result", "work")

    def __init__(
        self, work: Callable[[Transaction], Awaitable[T]], result: asyncio.Future[T]
    ) -> None:
        self.work = work
        self.result = result
        self._refused: BaseException | None = None

    def run_alone(self, transaction: Transaction) -> bool:
        """Do the work; False if it was refused and the transaction must be undone.

        Raises:
            sqlite3.Error: the database itself refused.
        """
        try:
            self._outcome = _run_without_waiting(self.work(transaction))
        except sqlite3.IntegrityError as error:
            self._refused = refusal_of(error)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 (it is the asker's, and is handed over in settle)
            self._refused = error
        return self._refused is None

    def run_among_others(self, connection: sqlite3.Connection, transaction: Transaction) -> None:
        """Do the work in a savepoint; a refusal undoes this work and no other.

        Raises:
            sqlite3.Error: the database itself refused; the whole batch must be undone.
        """
        connection.execute("SAVEPOINT work")
        if not self.run_alone(transaction):
            connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")

    def settle(self) -> None:
        """Tell the asker, now that the batch is committed."""
        if self.result.done():
            return
        if self._refused is None:
            self.result.set_result(self._outcome)
        else:
            self.result.set_exception(self._refused)


def _run_without_waiting(work: Awaitable[T]) -> T:
    """Run a coroutine to its end in this very step of the event loop."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        outcome: T = end.value
        return outcome
    message = "a transaction may wait for nothing but its own statements"
    raise RuntimeError(message)


def _fail(batch: Iterable[_Waiting[Any]], error: OCIError) -> None:
    for waiting in batch:
        if not waiting.result.done():
            waiting.result.set_exception(error)


def _refusal(error: sqlite3.Error) -> OCIError:
    """What a client is told when the database cannot be written."""
    code = error.sqlite_errorcode & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return InsufficientStorage("the disk that holds the database is full")
    return Unavailable(f"the database cannot be written now: {error.sqlite_errorname}")
