# SPDX-License-Identifier: Apache-2.0
"""A SQLite database as it was at one moment: a read transaction on a connection of its own.

While it is open the log cannot be copied into the database, so it should not stay open longer than
it takes to read what is wanted. Statements run in threads: these are the long ones.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, TypeVar

from moorage.db.sqlite_dialect import statement

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable

    from moorage.db.protocol import Row, Value

T = TypeVar("T")

# A row may carry a manifest of 4 MiB; mostly it has some hundred bytes.
ROWS = 200


class SQLiteView:
    """What `moorage.db.protocol.View` promises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        rows = await self.fetch_all(sql, *arguments)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        return await _in_thread(
            lambda: self._connection.execute(statement(sql), arguments).fetchall()
        )

    async def columns(self, table: str) -> tuple[str, ...]:
        description = self._connection.execute(f"SELECT * FROM {table} LIMIT 0").description  # noqa: S608 (a table of ours)
        return tuple(column[0] for column in description)

    async def rows(self, sql: str, *arguments: Value) -> AsyncIterator[list[Row]]:
        cursor = self._connection.cursor()
        with closing(cursor):
            await _in_thread(lambda: cursor.execute(statement(sql), arguments))
            while rows := await _in_thread(lambda: cursor.fetchmany(ROWS)):
                yield rows


@asynccontextmanager
async def sqlite_view(connect: Callable[[], sqlite3.Connection]) -> AsyncIterator[SQLiteView]:
    """A view, from this moment on."""
    connection = await asyncio.to_thread(connect)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        # The snapshot is taken by the first statement that reads.
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        yield SQLiteView(connection)
    finally:
        connection.close()


async def _in_thread(work: Callable[[], T]) -> T:
    """Do the work in a thread, to its end: nobody may close the connection under it."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
