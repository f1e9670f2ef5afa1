# SPDX-License-Identifier: Apache-2.0
"""An object store behind a cache on a local disk.

What was read once from its beginning to its end is a local file from then on, which the kernel can
send; everything else passes through to the store. Objects never change under their key, so a copy
is never stale. There are no signed URLs: whoever pays for a cache wants the reads to come here.
Ranges that miss pass through and fill nothing: a client that reads a kilobyte of each layer must
not make the cache fetch whole images.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from moorage.storage.cache_fill import Fill, read_filling
from moorage.storage.cache_folder import content_size
from moorage.storage.protocol import (
    PIECE_BYTES,
    ExtentStore,
    KeyTelling,
    RecordKeeper,
    SettlingStore,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable

    from moorage.spec.digests import Digest
    from moorage.storage.cache_folder import CacheFolder
    from moorage.storage.protocol import Extent, StoredBlob


class CachedStore(ExtentStore, RecordKeeper, Protocol):
    """What can be put behind the cache."""


class DiskCache:
    """An `ExtentStore` and a `RecordKeeper` that has some of its objects as `LocalFiles`."""

    def __init__(self, store: CachedStore, folder: CacheFolder) -> None:
        self._store = store
        self._folder = folder
        self._fills: dict[str, Fill] = {}

    async def start(self) -> None:
        await asyncio.to_thread(self._folder.start)
        await self._store.start()

    async def settled(self) -> None:
        """Wait until everything is removed that failed writes have left."""
        if isinstance(self._store, SettlingStore):
            await self._store.settled()

    # Through the cache

    def open(self, key: str) -> int | None:
        """A descriptor of the whole object, if it is cached; of one that is missing nothing."""
        return self._folder.open(key)

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        file = self._folder.open(key)
        if file is not None:
            pieces = _read_file(file, start, stop)
        elif start or not stop:
            pieces = _passed_on(self._store.read(key, start, stop))
        else:
            pieces = self._read_filling(key, stop)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    def _read_filling(self, key: str, stop: int) -> AsyncGenerator[bytes]:
        """The object, if it ends with `stop`, while it is being cached."""
        fill = self._fills.get(key)
        if fill is None:
            fill = Fill(self._folder, key, stop, lambda: self._store.read(key, 0, stop + 1))
            self._fills[key] = fill
            fill.start(lambda: self._end(key))
        elif fill.size != stop:
            return _passed_on(self._store.read(key, 0, stop))
        return read_filling(fill, lambda start: self._store.read(key, start, stop))

    def _end(self, key: str) -> None:
        del self._fills[key]

    async def delete(self, key: str) -> None:
        fill = self._fills.get(key)
        if fill is not None:
            fill.dropped = True
        self._folder.drop(key)
        await self._store.delete(key)

    # Past the cache

    def may_hold(self, key: str) -> bool:
        return not isinstance(self._store, KeyTelling) or self._store.may_hold(key)

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
        return await self._store.write(digest, pieces)

    async def write_extent(
        self, pieces: AsyncIterator[bytes], digest: Callable[[], Digest | None]
    ) -> Extent | None:
        return await self._store.write_extent(pieces, digest)

    async def record(self, blob: StoredBlob) -> None:
        await self._store.record(blob)

    def stored(self) -> AsyncIterator[StoredBlob]:
        return self._store.stored()

    async def put_record(self, name: str, content: bytes, *, durable: bool = False) -> None:
        await self._store.put_record(name, content, durable=durable)

    async def get_record(self, name: str) -> bytes:
        return await self._store.get_record(name)

    async def delete_record(self, name: str) -> None:
        await self._store.delete_record(name)

    def records(self, folder: str) -> AsyncIterator[str]:
        return self._store.records(folder)


async def _passed_on(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    async for piece in pieces:
        yield piece


async def _read_file(file: int, start: int, stop: int | None) -> AsyncGenerator[bytes]:
    """A part of a cached object. Owns the descriptor."""
    try:
        size = content_size(file) or 0
        stop = size if stop is None else min(stop, size)
        while start < stop:
            piece = os.pread(file, min(PIECE_BYTES, stop - start), start)
            if not piece:
                message = f"a cached file ends at {start} bytes instead of {stop}"
                raise EOFError(message)
            start += len(piece)
            yield piece
    finally:
        os.close(file)
