# SPDX-License-Identifier: Apache-2.0
"""One attempt at a transaction on one connection, and the fate of a commit nobody has answered.

A server that goes away between COMMIT and its answer may have committed or not. The number of the
transaction is known by then, and a new connection is asked for its fate. A server that crashed in
between may give the number to somebody else's transaction, so "committed" counts only where the
incarnation is still the same; "aborted" always counts, because a committed number is never reused.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import asyncpg

from moorage.db.postgres_dialect import TRANSACTION_NUMBER, is_read, numbered
from moorage.db.postgres_pool import INCARNATION
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.db.postgres_pool import Session
    from moorage.db.protocol import Row, Value

# A number is text on the way, because not every driver knows PostgreSQL's type for it.
_FATE = f"SELECT pg_xact_status($1::text::xid8), ({INCARNATION})"
# PostgreSQL's words for a number that it has not given out yet.
_NOT_YET = "22023"


class PostgresTransaction:
    """What the work is given to talk to."""

    def __init__(self, session: Session) -> None:
        self._connection = session.connection
        self.number: str | None = None
        self.is_changed = False

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        if is_read(sql):
            row = await self._connection.fetchrow(sql, *arguments)
            return None if row is None else tuple(row)
        rows = await self.fetch_all(sql, *arguments)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        text = None if is_read(sql) or self.number is not None else numbered(sql)
        if text is None:
            self.is_changed = self.is_changed or not is_read(sql)
            return [tuple(row) for row in await self._connection.fetch(sql, *arguments)]
        rows = [tuple(row) for row in await self._connection.fetch(text, *arguments)]
        self._note(rows)
        return [row[:-1] for row in rows]

    async def execute(self, sql: str, *arguments: Value) -> int:
        text = numbered(sql) if self.number is None else None
        if text is None:
            self.is_changed = True
            count = (await self._connection.execute(sql, *arguments)).rpartition(" ")[2]
            return int(count) if count.isdecimal() else 0
        rows = [tuple(row) for row in await self._connection.fetch(text, *arguments)]
        self._note(rows)
        return len(rows)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            self.is_changed = True
            await self._connection.executemany(sql, rows)

    def _note(self, rows: list[Row]) -> None:
        if rows:
            self.is_changed = True
            self.number = rows[0][-1]

    async def commit(self) -> None:
        """Commit; a lost connection or a time-out in here leaves the outcome open.

        Raises:
            RuntimeError: the work has hidden an error of the database.
        """
        if await self._connection.execute("COMMIT") != "COMMIT":
            raise RuntimeError("a transaction went on after a statement in it had failed")

    async def learn_number(self) -> None:
        """Ask for the number if something was changed and it is not known yet."""
        if self.is_changed and self.number is None:
            self.number = await self._connection.fetchval(TRANSACTION_NUMBER)


async def was_committed(session: Session, number: str, incarnation: str, patience: float) -> bool:
    """Whether the transaction of this number, of another session, was committed.

    Raises:
        Unavailable: nobody can know.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            row = await session.connection.fetchrow(_FATE, number)
        except asyncpg.PostgresError as error:
            if error.sqlstate != _NOT_YET:
                raise
            return False
        assert row is not None  # there is no FROM
        fate, now = row
        if fate == "aborted":
            return False
        if fate == "committed" and now == incarnation:
            return True
        # The server may not have noticed yet that the connection is gone.
        if fate != "in progress" or time.monotonic() > deadline:
            raise Unavailable(
                "PostgreSQL went away in the middle of a commit, and whether the change was made "
                "cannot be known; look, and try again"
            )
        await asyncio.sleep(0.05)
