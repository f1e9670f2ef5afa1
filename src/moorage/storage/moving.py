# SPDX-License-Identifier: Apache-2.0
"""Two stores that look like one, while blobs move from the previous one to the one that follows.

Everything new goes to the new store; what is there already is found in whichever has it. Most kinds
of stores tell by the key alone that it is not theirs; two of the same kind are asked one after the
other, the new one first. `MovingFiles` looks like an `AppendableStore` and `MovingExtents` like an
`ExtentStore`: which of them it is decides the new store, since uploads go there.

Invariant: a key is read, opened and signed only by a store that has it, and deleted in both.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from moorage.storage.protocol import (
    AppendableStore,
    BlobStore,
    ExtentStore,
    KeyTelling,
    ListingStore,
    LocalFiles,
    QuarantiningStore,
    RecordKeeper,
    SettlingStore,
    SigningStore,
    StoredObject,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from moorage.spec.digests import Digest, Hasher
    from moorage.storage.protocol import Extent, StoredBlob, UnfinishedUpload, UploadFile


class MovedFrom(BlobStore, RecordKeeper, Protocol):
    """A store that can be moved away from."""


class FilesTo(AppendableStore, RecordKeeper, Protocol):
    """A store of growing files that can be moved to."""


class ExtentsTo(ExtentStore, RecordKeeper, Protocol):
    """A store of objects that can be moved to."""


class MovingStore:
    """What both kinds have in common."""

    def __init__(self, store: FilesTo | ExtentsTo, previous: MovedFrom) -> None:
        self.store = store
        self.previous = previous

    async def start(self) -> None:
        await self.previous.start()
        await self.store.start()

    async def settled(self) -> None:
        """Wait until everything is removed that failed writes have left."""
        if isinstance(self.store, SettlingStore):
            await self.store.settled()

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
        return await self.store.write(digest, pieces)

    # Content, wherever it is

    def _candidates(self, key: str) -> list[BlobStore]:
        """The stores that may have the key, in the order in which to ask them."""
        return [store for store in (self.store, self.previous) if _may_hold(store, key)]

    def may_hold(self, key: str) -> bool:
        return bool(self._candidates(key))

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        *others, last = self._candidates(key) or [self.store]
        begun = False
        for store in others:
            try:
                async for piece in store.read(key, start, stop):
                    begun = True
                    yield piece
            except KeyError:
                if begun:
                    raise
                continue
            return
        async for piece in last.read(key, start, stop):
            yield piece

    async def is_in_previous(self, key: str) -> bool:
        """Whether only the previous store has the key.

        Raises:
            KeyError: neither has it.
        """
        for store in self._candidates(key):
            if await _has(store, key):
                return store is self.previous
        raise KeyError(key)

    def open(self, key: str) -> int | None:
        missing = bool(candidates := self._candidates(key))
        for store in candidates:
            if not isinstance(store, LocalFiles):
                missing = False
                continue
            try:
                file = store.open(key)
            except KeyError:
                continue
            if file is not None:
                return file
            missing = False
        if missing:
            raise KeyError(key)
        return None

    async def signed_url(self, key: str) -> str | None:
        candidates = self._candidates(key)
        for place, store in enumerate(candidates, 1):
            # A signature asks nobody whether the object is there.
            if place == len(candidates) or await _has(store, key):
                return await store.signed_url(key) if isinstance(store, SigningStore) else None
        return None

    async def delete(self, key: str) -> None:
        for store in self._candidates(key):
            await store.delete(key)

    async def stored(self) -> AsyncIterator[StoredBlob]:
        for store in (self.store, self.previous):
            async for blob in store.stored():
                yield blob

    async def objects(self) -> AsyncIterator[StoredObject]:
        for store in (self.store, self.previous):
            if isinstance(store, ListingStore):
                async for item in store.objects():
                    yield item
                continue
            async for blob in store.stored():
                yield StoredObject(blob.key, blob.size, _changed_at(store, blob.key))

    async def quarantine(self, key: str) -> Path | None:
        for store in self._candidates(key):
            if isinstance(store, QuarantiningStore):
                moved = await store.quarantine(key)
                if moved is not None:
                    return moved
        return None

    # Records

    async def put_record(self, name: str, content: bytes, *, durable: bool = False) -> None:
        await self.store.put_record(name, content, durable=durable)

    async def get_record(self, name: str) -> bytes:
        try:
            return await self.store.get_record(name)
        except KeyError:
            return await self.previous.get_record(name)

    async def delete_record(self, name: str) -> None:
        """Forget it in both, in this order: see `copy_record`."""
        await self.previous.delete_record(name)
        await self.store.delete_record(name)

    async def records(self, folder: str) -> AsyncIterator[str]:
        seen = set()
        async for name in self.store.records(folder):
            seen.add(name)
            yield name
        async for name in self.previous.records(folder):
            if name not in seen:
                yield name

    async def copy_record(self, name: str) -> bool:
        """Give the new store a record of the previous one; False if it is deleted meanwhile.

        Whoever deletes it begins with the previous store, so that it cannot come back: either its
        absence is seen here, or the copy is seen there.
        """
        try:
            await self.store.put_record(name, await self.previous.get_record(name))
            await self.previous.get_record(name)
        except KeyError:
            await self.store.delete_record(name)
            return False
        return True

    # What uploads have left in the previous store, whose sessions nobody can continue

    async def left_behind(self) -> AsyncIterator[UnfinishedUpload]:
        """Every unfinished upload of the previous store."""
        if isinstance(self.previous, AppendableStore):
            async for upload in self.previous.unfinished():
                yield upload

    async def discard_left(self, session: str) -> None:
        """Drop one of them."""
        if isinstance(self.previous, AppendableStore):
            await self.previous.discard(session)


class MovingFiles(MovingStore):
    """A move to a store of growing files."""

    store: FilesTo

    def append(self, session: str) -> AbstractContextManager[UploadFile]:
        return self.store.append(session)

    async def hash_upload(self, session: str, hasher: Hasher, start: int, stop: int) -> None:
        await self.store.hash_upload(session, hasher, start, stop)

    async def publish(self, session: str, digest: Digest, size: int) -> StoredBlob:
        return await self.store.publish(session, digest, size)

    async def discard(self, session: str) -> None:
        await self.store.discard(session)
        await self.discard_left(session)

    async def unfinished(self) -> AsyncIterator[UnfinishedUpload]:
        async for upload in self.store.unfinished():
            yield upload
        async for upload in self.left_behind():
            yield upload


class MovingExtents(MovingStore):
    """A move to a store of objects."""

    store: ExtentsTo

    async def write_extent(
        self, pieces: AsyncIterator[bytes], digest: Callable[[], Digest | None]
    ) -> Extent | None:
        return await self.store.write_extent(pieces, digest)

    async def record(self, blob: StoredBlob) -> None:
        await self.store.record(blob)


def moving_store(store: FilesTo | ExtentsTo, previous: MovedFrom) -> MovingFiles | MovingExtents:
    """Both stores as one, with the way of uploading of the new one."""
    if isinstance(store, ExtentStore):
        return MovingExtents(store, previous)
    return MovingFiles(store, previous)


def _may_hold(store: BlobStore, key: str) -> bool:
    return not isinstance(store, KeyTelling) or store.may_hold(key)


def _changed_at(store: BlobStore, key: str) -> int:
    """When a file was made, in microseconds; as long ago as can be where that is not known."""
    file = None
    with suppress(KeyError):
        file = store.open(key) if isinstance(store, LocalFiles) else None
    if file is None:
        return 0
    try:
        return os.fstat(file).st_ctime_ns // 1000
    finally:
        os.close(file)


async def _has(store: BlobStore, key: str) -> bool:
    try:
        async for _ in store.read(key, 0, 1):
            break
    except KeyError:
        return False
    return True
