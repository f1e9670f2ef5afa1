# SPDX-License-Identifier: Apache-2.0
"""Moves blobs from the previous store to the one that follows, while the registry serves from both.

One blob after the other is copied, hashed on the way, and then swapped in a transaction, if its
extents still are what was read: so a killed move goes on with the first blob that is not swapped,
and two moves at once only waste work. The records beside the blobs are copied last.

Invariant: a blob's extents always lead to bytes that are there; what was moved hashes right.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from moorage.content.changes import now
from moorage.content.garbage import READERS_GRACE, throw_away
from moorage.content.records import FOLDER as MANIFEST_FOLDER
from moorage.lifecycle.snapshots import FOLDER as SNAPSHOT_FOLDER
from moorage.spec.digests import Digest, digest_from, new_hasher
from moorage.storage.extents import read_extents
from moorage.storage.moving import MovingStore
from moorage.storage.protocol import Extent, ExtentStore, WrongContent
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from moorage.db.protocol import Database, Transaction
    from moorage.lifecycle.pace import Pace
    from moorage.observe.progress import Progress
    from moorage.storage.protocol import BlobStore, StoredBlob

T = TypeVar("T")

_TOTALS = "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs"
_DIGESTS = """
    SELECT digest FROM extents WHERE ordinal = 0 AND digest > $1 ORDER BY digest LIMIT $2
"""
_EXTENTS = "SELECT key, size FROM extents WHERE digest = $1 ORDER BY ordinal"
_FORGET = "DELETE FROM extents WHERE digest = $1"
_STORE = "INSERT INTO extents (digest, ordinal, key, size) VALUES ($1, $2, $3, $4)"
_UPLOADING = "SELECT session, key FROM upload_extents"

# Enough to keep a store busy that answers slowly, few enough to leave it to those who pull.
PARALLEL = 4
PAGE = 500
# Whoever changes a blob's extents meanwhile (joining does, once) does not do it again and again.
ATTEMPTS = 3


@dataclass(slots=True)
class StoreMoveReport:
    """The sum of a move; `present` counts what had been moved before."""

    told: Callable[[str, str], None]
    blobs: int = 0
    bytes: int = 0
    present: int = 0
    records: int = 0
    remaining: int = 0
    uploads: int = 0
    left: dict[Digest, str] = field(default_factory=dict)

    def leave(self, digest: Digest, reason: str) -> None:
        """A blob stays where it is."""
        self.left[digest] = reason
        self.told(digest, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMoveOptions:
    """With `delete` what was moved is removed from the previous store, when nobody reads it."""

    delete: bool = False
    dry_run: bool = False


class StoreMove:
    """One move of everything that is not moved yet."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        options: StoreMoveOptions,
        pace: Pace,
        progress: Progress,
        report: StoreMoveReport,
    ) -> None:
        """Make ready.

        Raises:
            CannotTransfer: there is no store to move from.
        """
        if not isinstance(store, MovingStore):
            raise CannotTransfer("there is no storage.previous to move from")
        self._database = database
        self._store = store
        self._options = options
        self._pace = pace
        self._progress = progress
        self._report = report

    async def run(self) -> None:
        """Move blobs, then records, then look whether anything has stayed behind."""
        count, size = await self._database.fetch_one(_TOTALS) or (0, 0)
        self._progress.begin("moving blobs", size, "bytes")
        await _in_parallel(self._digests(), self._move)
        if self._options.dry_run:
            for folder in (MANIFEST_FOLDER, SNAPSHOT_FOLDER):
                self._report.records += len([name async for name in self._records(folder)])
        else:
            await self._move_records()
            self._progress.begin("looking for what is left", count, "items")
            await _in_parallel(self._digests(), self._look)
        self._report.uploads = await self._count_uploads()

    async def _digests(self) -> AsyncIterator[Digest]:
        last = ""
        while rows := await self._database.fetch_all(_DIGESTS, last, PAGE):
            for (last,) in rows:
                yield Digest(last)

    # Blobs

    async def _move(self, digest: Digest) -> None:
        try:
            for _ in range(ATTEMPTS):
                if await self._try_to_move(digest):
                    return
        except KeyError as error:
            self._report.leave(digest, f"{error.args[0]} is in neither store")
        except WrongContent as error:
            self._report.leave(digest, f"it is damaged: {error}")

    async def _try_to_move(self, digest: Digest) -> bool:
        """Whether there is nothing more to do about the blob.

        Raises:
            KeyError: some of its bytes are missing.
            WrongContent: its bytes are not what they should be.
        """
        extents = await self._extents(digest)
        size = sum(extent.size for extent in extents)
        old = [extent for extent in extents if await self._store.is_in_previous(extent.key)]
        if not old:
            self._report.present += bool(extents)
            self._progress.advance(size)
            return True
        if self._options.dry_run:
            self._progress.advance(size)
        else:
            pieces = self._watched(digest, read_extents(self._store, extents, 0, size))
            copy = await self._store.store.write(digest, pieces)
            if not await self._swap(digest, extents, old, copy):
                return False
        self._report.blobs += 1
        self._report.bytes += size
        return True

    async def _watched(self, digest: Digest, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The bytes of the blob; an end that comes with another digest is no end."""
        hasher = new_hasher(digest.algorithm)
        async for piece in pieces:
            hasher.update(piece)
            yield piece
            self._progress.advance(len(piece))
            await self._pace.spent(len(piece))
        actual = digest_from(digest.algorithm, hasher)
        if actual != digest:
            raise WrongContent(digest, actual)

    async def _swap(
        self, digest: Digest, read: Sequence[Extent], old: Sequence[Extent], copy: StoredBlob
    ) -> bool:
        """Let the blob be its copy, unless its extents have changed; whether it is now."""
        at = now()
        # Of a blob that lay in both stores, the pieces in the new one are in nobody's way.
        done_with = read if self._options.delete else [each for each in read if each not in old]

        async def swap(transaction: Transaction) -> bool:
            rows = await transaction.fetch_all(_EXTENTS, digest)
            if [Extent(key, size) for key, size in rows] != read:
                await throw_away(transaction, copy.extents, at)
                return False
            await transaction.execute(_FORGET, digest)
            for ordinal, extent in enumerate(copy.extents):
                await transaction.execute(_STORE, digest, ordinal, extent.key, extent.size)
            await throw_away(transaction, done_with, at + READERS_GRACE)
            return True

        return await self._database.transaction(swap)

    async def _extents(self, digest: Digest) -> list[Extent]:
        rows = await self._database.fetch_all(_EXTENTS, digest)
        return [Extent(key, size) for key, size in rows]

    # What is left

    async def _look(self, digest: Digest) -> None:
        try:
            for extent in await self._extents(digest):
                if await self._store.is_in_previous(extent.key):
                    self._report.remaining += 1
                    break
        except KeyError as error:
            if digest not in self._report.left:
                self._report.leave(digest, f"{error.args[0]} is in neither store")
        self._progress.advance(1)

    async def _count_uploads(self) -> int:
        """The uploads under way that have bytes in the previous store, and can go on."""
        sessions = set()
        if not isinstance(self._store.store, ExtentStore):
            return 0
        for session, key in await self._database.fetch_all(_UPLOADING):
            try:
                if await self._store.is_in_previous(key):
                    sessions.add(session)
            except KeyError:
                continue
        return len(sessions)

    # Records

    async def _move_records(self) -> None:
        self._progress.begin("moving records", 0, "items")
        await _in_parallel(self._records(MANIFEST_FOLDER), self._move_record)
        # The head of a snapshot says that the rest of it is there, and so it comes last.
        heads = [name async for name in self._records(SNAPSHOT_FOLDER) if _is_head(name)]
        await _in_parallel(self._records(SNAPSHOT_FOLDER), self._move_part)
        for name in heads:
            await self._move_record(name)

    async def _records(self, folder: str) -> AsyncIterator[str]:
        """The records that only the previous store has."""
        there = {hash(name) async for name in self._store.store.records(folder)}
        async for name in self._store.previous.records(folder):
            if hash(name) not in there:
                yield name

    async def _move_part(self, name: str) -> None:
        if not _is_head(name):
            await self._move_record(name)

    async def _move_record(self, name: str) -> None:
        if await self._store.copy_record(name):
            self._report.records += 1
            if self._options.delete:
                await self._store.previous.delete_record(name)
        self._progress.advance(1)


def _is_head(name: str) -> bool:
    return name.endswith("/head")


async def _in_parallel(items: AsyncIterator[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Work on the items, some at a time; the first failure ends all of it."""
    lock = asyncio.Lock()

    async def go_on() -> None:
        while True:
            async with lock:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            await work(item)

    workers = [asyncio.create_task(go_on()) for _ in range(PARALLEL)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
