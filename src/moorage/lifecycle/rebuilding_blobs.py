# SPDX-License-Identifier: Apache-2.0
"""The blobs of a rebuild: what the store says it holds."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.spec.digests import Digest, digest_from, new_hasher
from moorage.spec.errors import DigestInvalid
from moorage.storage.extents import read_extents
from moorage.storage.protocol import Extent, StoredBlob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.db.protocol import Database, Row, Transaction
    from moorage.lifecycle.rebuilding import RebuildReport
    from moorage.lifecycle.snapshots import Snapshot
    from moorage.observe.progress import Progress
    from moorage.storage.protocol import BlobStore

BATCH = 200

_SIZE = "SELECT size FROM blobs WHERE digest = $1"
_STORE = "INSERT INTO blobs (digest, size, created_at, touched_at) VALUES ($1, $2, $3, $3)"
_CORRECT = "UPDATE blobs SET size = $2 WHERE digest = $1"
_FORGET_EXTENTS = "DELETE FROM extents WHERE digest = $1"
_EXTENT = "INSERT INTO extents (digest, ordinal, key, size) VALUES ($1, $2, $3, $4)"
_UNUSED = """
    SELECT b.digest FROM blobs b
    WHERE NOT EXISTS (SELECT 1 FROM repository_blobs l WHERE l.digest = b.digest) LIMIT $1
"""
_FORGET = "DELETE FROM blobs WHERE digest = $1"
_TOTALS = "SELECT count(*), coalesce(sum(size), 0) FROM blobs"


class BlobsAgain:
    """Catalogues the content of the store."""

    def __init__(
        self, database: Database, store: BlobStore, report: RebuildReport, progress: Progress
    ) -> None:
        self._database = database
        self._store = store
        self._report = report
        self._progress = progress

    async def find(self, *, verify: bool) -> None:
        """Catalogue everything that tells its digest itself."""
        self._progress.begin("finding blobs", 0, "items")
        batch: list[StoredBlob] = []
        async for blob in self._store.stored():
            if not verify or await self._is_sound(blob):
                batch.append(blob)
            if len(batch) == BATCH:
                await self._add(batch)
                batch = []
        await self._add(batch)

    async def _is_sound(self, blob: StoredBlob) -> bool:
        hasher = new_hasher(blob.digest.algorithm)
        try:
            async for piece in read_extents(self._store, blob.extents, 0, blob.size):
                hasher.update(piece)
        except KeyError:
            self._report.miss(f"a part of {blob.digest} is not in the store")
            return False
        actual = digest_from(blob.digest.algorithm, hasher)
        if actual != blob.digest:
            self._report.miss(f"{blob.key} hashes to {actual}, not to {blob.digest}: not used")
        return actual == blob.digest

    async def find_split(self, snapshot: Snapshot) -> None:
        """Catalogue blobs of several extents whose note in the store is lost."""
        rows: list[Row] = []
        async for found in snapshot.rows("extents"):
            rows += found.picked("digest", "ordinal", "key", "size")
        for digest, group in groupby(rows, lambda row: row[0]):
            extents = tuple(Extent(str(key), int(size)) for _, _, key, size in group)
            if await self._database.fetch_one(_SIZE, digest) is None:
                await self._add_split(str(digest), extents)

    async def _add_split(self, text: str, extents: tuple[Extent, ...]) -> None:
        try:
            digest = Digest.parse(text)
            for extent in extents:
                async for _ in self._store.read(extent.key, 0, 1):
                    pass
        except (KeyError, DigestInvalid):
            return
        size = sum(extent.size for extent in extents)
        await self._add([StoredBlob(extents[0].key, digest, size, extents)])

    async def _add(self, batch: Sequence[StoredBlob]) -> None:
        at = now()

        async def add(transaction: Transaction) -> None:
            for blob in batch:
                await _add_one(transaction, blob, at)

        if batch:
            await self._database.transaction(add, durable=False)
            self._progress.advance(len(batch))

    async def forget_unused(self) -> None:
        """Forget what no repository has got: pieces of others, and uploads that never ended.

        One object could otherwise be a blob of its own and a part of another, and vanish with the
        first while the second is still wanted.
        """

        async def forget(transaction: Transaction) -> int:
            rows = await transaction.fetch_all(_UNUSED, BATCH)
            for (digest,) in rows:
                await transaction.execute(_FORGET_EXTENTS, digest)
                await transaction.execute(_FORGET, digest)
            return len(rows)

        while count := await self._database.transaction(forget, durable=False):
            self._report.unused += count
        totals = await self._database.fetch_one(_TOTALS)
        assert totals is not None  # an aggregate always has a row
        self._report.blobs, self._report.bytes = int(totals[0]), int(totals[1])


async def _add_one(transaction: Transaction, blob: StoredBlob, at: int) -> None:
    known = await transaction.fetch_one(_SIZE, blob.digest)
    if known is None:
        await transaction.execute(_STORE, blob.digest, blob.size, at)
    elif known[0] < blob.size:
        # A power cut may leave the beginning of a file under its last name; the whole one is it.
        await transaction.execute(_CORRECT, blob.digest, blob.size)
        await transaction.execute(_FORGET_EXTENTS, blob.digest)
    else:
        return
    for ordinal, extent in enumerate(blob.extents):
        await transaction.execute(_EXTENT, blob.digest, ordinal, extent.key, extent.size)
