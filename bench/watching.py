# SPDX-License-Identifier: Apache-2.0
"""A database that remembers which statements were run, so that their plans can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from moorage.db.protocol import Database, Row, Transaction, Value, View

T = TypeVar("T")


class WatchedDatabase:
    """Passes everything on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, tuple[Value, ...]] = {}

    def take(self) -> list[tuple[str, tuple[Value, ...]]]:
        """The statements since the last time, each once, with the arguments it was run with."""
        seen, self._seen = self._seen, {}
        return list(seen.items())

    def saw(self, sql: str, arguments: Sequence[Value]) -> None:
        """Remember a statement."""
        self._seen.setdefault(sql, tuple(arguments))

    async def start(self) -> None:
        """As the database."""
        await self._database.start()

    async def close(self) -> None:
        """As the database."""
        await self._database.close()

    def view(self) -> AbstractAsyncContextManager[View]:
        """As the database."""
        return self._database.view()

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        """As the database."""
        self.saw(sql, arguments)
        return await self._database.fetch_one(sql, *arguments)

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        """As the database."""
        self.saw(sql, arguments)
        return await self._database.fetch_all(sql, *arguments)

    async def transaction(
        self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = True
    ) -> T:
        """As the database; the work sees a transaction that is watched too."""

        async def watched(transaction: Transaction) -> T:
            return await work(_WatchedTransaction(self, transaction))

        return await self._database.transaction(watched, durable=durable)


class _WatchedTransaction:
    def __init__(self, watcher: WatchedDatabase, transaction: Transaction) -> None:
        self._watcher = watcher
        self._transaction = transaction

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        self._watcher.saw(sql, arguments)
        return await self._transaction.fetch_one(sql, *arguments)

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        self._watcher.saw(sql, arguments)
        return await self._transaction.fetch_all(sql, *arguments)

    async def execute(self, sql: str, *arguments: Value) -> int:
        self._watcher.saw(sql, arguments)
        return await self._transaction.execute(sql, *arguments)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            self._watcher.saw(sql, rows[0])
        await self._transaction.execute_many(sql, rows)
