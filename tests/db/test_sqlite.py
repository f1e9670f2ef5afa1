# SPDX-License-Identifier: Apache-2.0
"""SQLite as the database: transactions are whole, gathered, visible to all, and safe to repeat."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from moorage.db.migrations import all_migrations, pending
from moorage.db.read_cache import MAX_BYTES
from moorage.db.sqlite import SQLiteDatabase
from moorage.spec.errors import InsufficientStorage, Unavailable
from tests.db.contract import COUNT, INSERT, DatabaseContract, insert

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from moorage.db.protocol import Transaction


class TestContract(DatabaseContract):
    """SQLite does what every engine does."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self._path = tmp_path / "moorage.db"

    def make(self) -> SQLiteDatabase:
        """A connection of another process to the same file."""
        return SQLiteDatabase(self._path)


def start_at(path: Path, begin: Barrier, failures: Queue[str]) -> None:
    """What each of several processes does that open a file at the same moment."""

    async def run() -> None:
        database = SQLiteDatabase(path)
        begin.wait()
        await database.start()
        await database.close()

    try:
        asyncio.run(run())
    except Exception as error:  # noqa: BLE001 (told to the test, in another process)
        failures.put(str(error))


def test_processes_that_start_at_once(tmp_path: Path) -> None:
    """Several processes may open a file that none of them has made yet."""
    context = multiprocessing.get_context("fork")
    for number in range(10):
        path = tmp_path / f"{number}.db"
        begin, failures = context.Barrier(4), context.Queue()
        starting = [
            context.Process(target=start_at, args=(path, begin, failures)) for _ in range(4)
        ]
        for process in starting:
            process.start()
        for process in starting:
            process.join(60)
        assert failures.empty(), failures.get()
        assert [process.exitcode for process in starting] == [0] * 4


def with_database(path: Path, scenario: Callable[[SQLiteDatabase], Awaitable[None]]) -> None:
    """Run the scenario on a started database and close it."""

    async def started() -> None:
        database = SQLiteDatabase(path / "moorage.db")
        await database.start()
        try:
            await scenario(database)
        finally:
            await database.close()

    asyncio.run(started())


def test_a_broken_rule_is_an_error_of_sqlite(tmp_path: Path) -> None:
    """A constraint that one transaction violates does not undo its neighbors."""

    async def scenario(database: SQLiteDatabase) -> None:
        results = await asyncio.gather(
            *(database.transaction(insert(name)) for name in ("a", "a", "b")),
            return_exceptions=True,
        )

        assert [type(result) for result in results] == [int, sqlite3.IntegrityError, int]
        assert await database.fetch_one(COUNT) == (2,)

    with_database(tmp_path, scenario)


def test_a_transaction_must_not_wait_for_anything_else(tmp_path: Path) -> None:
    """Work that waits while it holds the write lock is refused: it would stop every other."""

    async def waits(_transaction: Transaction) -> None:
        await asyncio.sleep(0)

    async def scenario(database: SQLiteDatabase) -> None:
        with pytest.raises(RuntimeError, match="wait for nothing"):
            await database.transaction(waits)
        assert await database.transaction(insert("next")) == 1

    with_database(tmp_path, scenario)


def test_a_full_disk_is_said_and_undone(tmp_path: Path) -> None:
    """When the file may not grow, the client hears of it and the database stays usable."""

    async def large(transaction: Transaction) -> None:
        await transaction.execute(INSERT, "x" * 400_000, 1)

    async def scenario(database: SQLiteDatabase) -> None:
        (pages,) = await database.fetch_one("PRAGMA page_count") or (0,)
        database._writer.execute(f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(InsufficientStorage):
            await database.transaction(large)

        assert await database.fetch_one(COUNT) == (0,)
        assert await database.transaction(insert("small")) == 1

    with_database(tmp_path, scenario)


def test_the_log_is_checkpointed_in_the_background(tmp_path: Path) -> None:
    """After many commits the log has gone into the database file and everything is still there."""

    async def scenario(database: SQLiteDatabase) -> None:
        for number in range(1100):
            await database.transaction(insert(f"r{number}"), durable=False)
        assert await database.fetch_one(COUNT) == (1100,)

    with_database(tmp_path, scenario)
    size = (tmp_path / "moorage.db").stat().st_size

    assert size > 100_000


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database of a newer program is not touched, and the error says what to do."""
    connection = sqlite3.connect(tmp_path / "moorage.db")
    connection.execute("PRAGMA user_version = 9999")
    connection.close()

    async def nothing(_database: SQLiteDatabase) -> None:
        pass

    with pytest.raises(Unavailable, match=r"moorage\.db cannot be used.*run the newer Moorage"):
        with_database(tmp_path, nothing)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A damaged file is not touched, and the error names it and says what to do."""
    (tmp_path / "moorage.db").write_bytes(b"no database at all " * 1000)

    async def nothing(_database: SQLiteDatabase) -> None:
        pass

    with pytest.raises(Unavailable, match=r"moorage\.db cannot be used.*from a backup"):
        with_database(tmp_path, nothing)
    assert (tmp_path / "moorage.db").read_bytes() == b"no database at all " * 1000


def test_a_database_has_a_place(tmp_path: Path) -> None:
    """A folder where the file should be, and a file where its folder should be, are named."""
    (tmp_path / "folder" / "moorage.db").mkdir(parents=True)
    (tmp_path / "file").write_text("")

    async def nothing(_database: SQLiteDatabase) -> None:
        pass

    for folder in ("folder", "file"):
        with pytest.raises(Unavailable, match=rf"{folder}/moorage\.db cannot be used"):
            with_database(tmp_path / folder, nothing)


def test_others_cannot_read_a_new_database(tmp_path: Path) -> None:
    """What is made is for the owner and the group; what was there keeps its mode."""
    folder = tmp_path / "below"

    async def write(database: SQLiteDatabase) -> None:
        await database.transaction(insert("a"))
        assert len(list(folder.iterdir())) == 3
        for file in folder.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o007 == 0, file

    async def write_nothing(_database: SQLiteDatabase) -> None:
        pass

    with_database(folder, write)
    assert stat.S_IMODE(folder.stat().st_mode) & 0o007 == 0
    (folder / "moorage.db").chmod(0o644)
    with_database(folder, write_nothing)
    assert stat.S_IMODE((folder / "moorage.db").stat().st_mode) == 0o644


def test_migrations_are_numbered_without_gaps() -> None:
    """Versions count from one, so that `pending` is what follows the current one."""
    versions = [migration.version for migration in all_migrations()]

    assert versions == list(range(1, len(versions) + 1))
    assert pending(versions[-1]) == ()


def test_a_row_read_before_is_read_again_after_any_commit(tmp_path: Path) -> None:
    """What is remembered of earlier reads never outlives a change, whoever made it."""
    sql = "SELECT description FROM repositories WHERE name = $1"
    update = "UPDATE repositories SET description = $2 WHERE name = $1"

    async def scenario(database: SQLiteDatabase) -> None:
        other = SQLiteDatabase(tmp_path / "moorage.db")
        await other.start()
        assert await database.fetch_one(sql, "a") is None
        await database.transaction(insert("a"))
        for number, writer in enumerate([database, other, database, other]):

            async def describe(transaction: Transaction, text: str = str(number)) -> None:
                await transaction.execute(update, "a", text)

            await writer.transaction(describe, durable=False)
            for reader in (database, other, database, other):
                assert await reader.fetch_one(sql, "a") == (str(number),)
        await other.close()

    with_database(tmp_path, scenario)


def test_remembered_rows_are_bounded(tmp_path: Path) -> None:
    """However many and however large the rows that are read, what is kept has a limit."""

    async def scenario(database: SQLiteDatabase) -> None:
        sql = "SELECT $1"
        for number in range(40):
            text = str(number).ljust(1024 * 1024)
            assert await database.fetch_one(sql, text) == (text,)
        huge = "x" * (MAX_BYTES + 1)
        assert await database.fetch_one(sql, huge) == (huge,)

        assert database._cache._bytes <= MAX_BYTES

    with_database(tmp_path, scenario)
