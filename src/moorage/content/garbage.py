# SPDX-License-Identifier: Apache-2.0
"""Objects that nothing refers to any more, destroyed when nobody can still be reading them.

A key comes here in the transaction that takes its last reference away, so that a killed process
leaves neither a reference without bytes nor bytes that nobody remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.spec.errors import OCIError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moorage.db.protocol import Database, Transaction
    from moorage.storage.protocol import BlobStore, Extent

_THROW = """
    INSERT INTO garbage (key, not_before) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING
"""
_RIPE = "SELECT key FROM garbage WHERE not_before <= $1 ORDER BY not_before LIMIT $2"
_GONE = "DELETE FROM garbage WHERE key = $1"
_LATER = "UPDATE garbage SET not_before = $2 WHERE key = $1"

# One statement's worth; a sweep goes on until nothing ripe is left.
BATCH = 200
# A download that began before its object was replaced may take this long (microseconds): at 1 MB/s,
# 86 GB.
READERS_GRACE = 24 * 3600 * 1_000_000
# What a store does not let go of (a legal hold, say) is asked for again after everything else.
REFUSED_PAUSE = 3600 * 1_000_000


async def throw_away(transaction: Transaction, extents: Iterable[Extent], not_before: int) -> None:
    """Let the sweeper destroy the extents from `not_before` (microseconds) on."""
    rows = [(extent.key, not_before) for extent in extents]
    if rows:
        await transaction.execute_many(_THROW, rows)


class Garbage:
    """The sweeper."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._store = store

    async def sweep(self) -> int:
        """Destroy everything that is ripe; return how many objects that were.

        Two sweepers at once do no harm: deleting twice is no error.

        Raises:
            OCIError: the store has refused one of them, which the next sweep leaves for later.
        """
        count = 0
        while rows := await self._database.fetch_all(_RIPE, now(), BATCH):
            gone: list[str] = []
            try:
                for (key,) in rows:
                    await self._delete(key)
                    gone.append(key)
            finally:
                await self._forget(gone)
            count += len(gone)
        return count

    async def _delete(self, key: str) -> None:
        try:
            await self._store.delete(key)
        except OCIError:
            await self._put_off(key)
            raise

    async def _put_off(self, key: str) -> None:
        later = now() + REFUSED_PAUSE

        async def put_off(transaction: Transaction) -> None:
            await transaction.execute(_LATER, key, later)

        await self._database.transaction(put_off, durable=False)

    async def _forget(self, keys: list[str]) -> None:
        async def forget(transaction: Transaction) -> None:
            await transaction.execute_many(_GONE, [(key,) for key in keys])

        await self._database.transaction(forget, durable=False)
