# SPDX-License-Identifier: Apache-2.0
"""Makes one object of a blob that was uploaded in several requests.

A blob of several extents is read in sequence; only one that is a single object can be fetched from
the store by the client itself. Nobody waits for this: it runs behind the serving. What is longer
than an object can be stays in pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.content.garbage import READERS_GRACE, throw_away
from moorage.spec.digests import Digest, digest_from, new_hasher
from moorage.storage.extents import read_extents
from moorage.storage.protocol import Extent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from moorage.db.protocol import Database, Transaction
    from moorage.spec.digests import Hasher
    from moorage.storage.protocol import BlobStore, StoredBlob

_SPLIT = """
    SELECT e.digest FROM extents e JOIN blobs b ON b.digest = e.digest
    WHERE e.ordinal = 1 AND e.digest > $1 AND b.size <= $2
    ORDER BY e.digest LIMIT 1
"""
_EXTENTS = "SELECT key, size FROM extents WHERE digest = $1 ORDER BY ordinal"
_FORGET = "DELETE FROM extents WHERE digest = $1"
_STORE = "INSERT INTO extents (digest, ordinal, key, size) VALUES ($1, 0, $2, $3)"

# What every store holds as one object: S3 takes 10,000 parts, the smallest of which have 5 MiB.
LARGEST_BYTES = 48 * 1024**3


class DamagedBlob(Exception):
    """The extents of a blob do not hash to its digest."""

    def __init__(self, digest: Digest, actual: Digest) -> None:
        super().__init__(f"the extents of {digest} hash to {actual}; run `moorage check`")


class Joining:
    """Joins blobs of several extents."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._store = store

    async def next_split(self, after: str) -> Digest | None:
        """The first blob of several extents whose digest sorts behind `after`."""
        row = await self._database.fetch_one(_SPLIT, after, LARGEST_BYTES)
        return Digest(row[0]) if row else None

    async def join(self, digest: Digest) -> bool:
        """Join one blob; False when somebody else changed it meanwhile, or it is too long.

        Raises:
            DamagedBlob: its bytes are not what they should be; nothing was changed.
            KeyError: one of its extents is missing.
        """
        extents = await self._extents(digest)
        size = sum(extent.size for extent in extents)
        hasher = new_hasher(digest.algorithm)
        pieces = _hashed(read_extents(self._store, extents, 0, size), hasher)
        joined = await self._store.write(digest, pieces)
        actual = digest_from(digest.algorithm, hasher)
        if actual == digest and not joined.pieces:
            return await self._replace(digest, extents, joined)
        for extent in joined.extents:
            await self._store.delete(extent.key)
        if actual != digest:
            raise DamagedBlob(digest, actual)
        return False

    async def _extents(self, digest: Digest) -> list[Extent]:
        rows = await self._database.fetch_all(_EXTENTS, digest)
        return [Extent(key, size) for key, size in rows]

    async def _replace(self, digest: Digest, old: Sequence[Extent], joined: StoredBlob) -> bool:
        at = now()

        async def replace(transaction: Transaction) -> bool:
            rows = await transaction.fetch_all(_EXTENTS, digest)
            if [Extent(key, size) for key, size in rows] != old:
                await throw_away(transaction, joined.extents, at)
                return False
            await transaction.execute(_FORGET, digest)
            await transaction.execute(_STORE, digest, joined.key, joined.size)
            await throw_away(transaction, old, at + READERS_GRACE)
            return True

        return await self._database.transaction(replace)


async def _hashed(pieces: AsyncIterator[bytes], hasher: Hasher) -> AsyncIterator[bytes]:
    async for piece in pieces:
        hasher.update(piece)
        yield piece
