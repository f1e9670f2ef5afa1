# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL database as it was at one moment: a read-only transaction on its own connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from moorage.db.protocol import Row, Value

# A row may carry a manifest of 4 MiB; mostly it has some hundred bytes.
ROWS = 200

# It may read for hours, with pauses in which what was read is written elsewhere.
BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; "
    # The snapshot is taken by the first statement that reads.
    "SET LOCAL idle_in_transaction_session_timeout = 0; SELECT 1"
)


class PostgresView:
    """What `moorage.db.protocol.View` promises."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        row = await self._connection.fetchrow(sql, *arguments)
        return None if row is None else tuple(row)

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        return [tuple(row) for row in await self._connection.fetch(sql, *arguments)]

    async def columns(self, table: str) -> tuple[str, ...]:
        statement = await self._connection.prepare(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 (a table of ours)
        return tuple(attribute.name for attribute in statement.get_attributes())

    async def rows(self, sql: str, *arguments: Value) -> AsyncIterator[list[Row]]:
        cursor = await self._connection.cursor(sql, *arguments)
        while rows := await cursor.fetch(ROWS):
            yield [tuple(row) for row in rows]
