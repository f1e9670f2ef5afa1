# SPDX-License-Identifier: Apache-2.0
"""Blobs as objects in S3 and everything that speaks it, Google Cloud Storage, and Azure Blob.

Each request's bytes become one object under a key of its own, which is never copied, renamed or
written again. What fits one part is stored with one request under a name that tells its digest;
anything longer streams in parts, and `record` writes its digest beside it.

Invariant: a write that fails or is cancelled leaves nothing behind, as far as the store can still
be reached; what it cannot be told then (a killed process, a store that is down) is left to the
store's own rule for unfinished uploads and to whoever compares `objects` with the catalogue.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from moorage.spec.errors import OCIError
from moorage.storage.object_errors import FAILURES, refusal
from moorage.storage.object_keys import (
    FOLDER,
    is_ours,
    is_sidecar,
    new_key,
    read_sidecar,
    sidecar_content,
    sidecar_of,
    told_digest,
)
from moorage.storage.object_upload import Lease, PartBudget, PartFeed, Parts
from moorage.storage.protocol import PIECE_BYTES, Extent, StoredBlob

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine

    from moorage.spec.digests import Digest
    from moorage.storage.object_bucket import Bucket, ListedObject
    from moorage.storage.signed_urls import SignedURLs

# S3 takes no smaller ones, and it is what 50 uploads at once can hold within 256 MiB.
PART_BYTES = 5 * 1024 * 1024
# S3 and Google take 10,000; the rest is for the last piece, which may be longer than a part.
MAX_PARTS = 9_990
# Configs and small manifests of tools: gathered without taking the memory of a part.
SMALL_BYTES = 64 * 1024
# How often a broken download is taken up again without a byte of progress.
MAX_RESUMPTIONS = 4
RESUMPTION_SECONDS = 0.1
# How long a failed push waits for the store to drop its parts; it goes on by itself afterwards.
ABORT_SECONDS = 5.0

GREETING = "moorage.txt"
_GREETING_TEXT = b"""\
Moorage, a container registry, keeps its blobs below blobs/. This object is written whenever it
starts, to see that it may write here; it can be deleted.
"""


class ObjectStore:
    """A `BlobStore` that is an `ExtentStore`, a `SigningStore` and a `RecordKeeper`."""

    def __init__(
        self,
        bucket: Bucket,
        urls: SignedURLs,
        budget: PartBudget,
        *,
        part_bytes: int = PART_BYTES,
        max_parts: int = MAX_PARTS,
        writable: bool = True,
    ) -> None:
        """`budget` counts parts of `part_bytes`; a store that is not `writable` is only read."""
        self._bucket = bucket
        self._urls = urls
        self._budget = budget
        self._part_bytes = part_bytes
        self._max_parts = max_parts
        self._writable = writable
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Write a greeting with one small request, which needs what a push needs.

        A store that is only read is asked for its first page.

        Raises:
            Unavailable: the store cannot be used; the message names the setting to look at.
            InsufficientStorage: there is no room, not even for this.
        """
        if self._writable:
            await self._bucket.put(GREETING, _GREETING_TEXT)
            return
        async with aclosing(self._bucket.list(FOLDER)) as listing:
            async for _ in listing:
                break

    # Writing

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
        stream = aiter(pieces)
        extents: list[Extent] = []
        try:
            while extent := await self._write(stream, _unknown, None if extents else digest):
                extents.append(extent)
            if not extents:
                key = new_key(digest)
                await self._finish(key, self._bucket.put(key, b""), Lease(self._budget))
                return StoredBlob(key, digest, 0)
            size = sum(extent.size for extent in extents)
            more = tuple(extents) if len(extents) > 1 else ()
            blob = StoredBlob(extents[0].key, digest, size, more)
            await self.record(blob)
        except BaseException:
            for extent in extents:
                self._later(self._remove(extent.key))
            raise
        return blob

    async def write_extent(
        self, pieces: AsyncIterator[bytes], digest: Callable[[], Digest | None]
    ) -> Extent | None:
        """As the protocol says; a stream that is too long for one object is not read to its end.

        The caller goes on with the same stream and another extent.
        """
        return await self._write(pieces, digest, None)

    async def _write(
        self,
        pieces: AsyncIterator[bytes],
        digest: Callable[[], Digest | None],
        known: Digest | None,
    ) -> Extent | None:
        parts = Parts(pieces, self._part_bytes)
        lease = Lease(self._budget)
        if await parts.is_shorter(SMALL_BYTES):
            small = parts.left_over()
            return await self._put(small, known or digest(), lease) if small else None
        await lease.take()
        try:
            is_whole = await parts.fits_one()
            content = await parts.fill() if is_whole else memoryview(b"")
        except BaseException:
            lease.release()
            raise
        if is_whole:
            return await self._put(content, known or digest(), lease)
        return await self._put_parts(parts, new_key(known), lease)

    async def _put(
        self, content: bytes | memoryview, digest: Digest | None, lease: Lease
    ) -> Extent:
        key = new_key(digest)
        await self._finish(key, self._bucket.put(key, content), lease)
        return Extent(key, len(content))

    async def _put_parts(self, parts: Parts, key: str, lease: Lease) -> Extent:
        feed = PartFeed()
        task = asyncio.create_task(self._bucket.put_parts(key, feed, self._part_bytes))
        task.add_done_callback(lambda _: feed.close())
        task.add_done_callback(lambda _: lease.release())
        try:
            size = await self._send(feed, parts, lease)
            await asyncio.shield(task)
        except BaseException:
            feed.fail()
            undoing = self._later(self._undo(key, task))
            with suppress(asyncio.CancelledError):
                await asyncio.wait({undoing}, timeout=ABORT_SECONDS)
            raise
        return Extent(key, size)

    async def _send(self, feed: PartFeed, parts: Parts, lease: Lease) -> int:
        """Hand over one part after the other until there are no more, or nobody asks for them."""
        size = sent = 0
        while sent < self._max_parts and await parts.more():
            part = await parts.fill()
            size, sent = size + len(part), sent + 1
            if not await feed.give(part):
                return size
            # The library has it; a second reference would keep its memory.
            del part
            if not lease.may_gather():
                if not await feed.drain():
                    return size
                lease.shrink()
        # What was read with the last part that fits into the object cannot be unread.
        rest = parts.left_over()
        if rest and not await feed.give(rest):
            return size
        await feed.end()
        return size + len(rest)

    async def _finish(self, key: str, putting: Coroutine[None, None, None], lease: Lease) -> None:
        """Let a request run to its end whatever happens to its caller, so that it can be undone."""
        task = asyncio.create_task(putting)
        task.add_done_callback(lambda _: lease.release())
        try:
            await asyncio.shield(task)
        except BaseException:
            self._later(self._undo(key, task))
            raise

    async def _undo(self, key: str, task: asyncio.Task[None]) -> None:
        """Remove what a failed write may have stored: a reply can be lost on its way."""
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        await self._remove(key)

    async def _remove(self, key: str) -> None:
        with suppress(OCIError):
            await self._bucket.delete(key)

    async def settled(self) -> None:
        """Wait until everything is removed that failed writes have left."""
        while self._background:
            await asyncio.wait(set(self._background))

    def _later(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    # Reading and removing

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """As the protocol says; a stream that breaks is taken up again where it broke."""
        failures = 0
        while stop is None or start < stop:
            found = await self._bucket.get(key, start, stop)
            if found is None:
                return
            try:
                async for piece in found.stream(PIECE_BYTES):
                    failures = 0
                    start += len(piece)
                    yield piece
            except FAILURES as error:
                failures += 1
                if failures > MAX_RESUMPTIONS:
                    raise refusal(error, self._bucket.names) from None
                await asyncio.sleep(RESUMPTION_SECONDS * 2**failures)
            else:
                return

    async def delete(self, key: str) -> None:
        # In this order: what a killed process leaves is an object, not a sidecar without one.
        if not is_sidecar(key):
            await self._bucket.delete(sidecar_of(key))
        await self._bucket.delete(key)

    def may_hold(self, key: str) -> bool:
        return is_ours(key)

    async def signed_url(self, key: str) -> str | None:
        return await self._urls.url(key)

    # What is there

    async def record(self, blob: StoredBlob) -> None:
        """As the protocol says; nothing is to be done where the only key tells the digest."""
        if blob.pieces or told_digest(blob.key) != blob.digest:
            await self._bucket.put(sidecar_of(blob.key), sidecar_content(blob))

    async def stored(self) -> AsyncIterator[StoredBlob]:
        """As the protocol says; a sidecar has the last word on what begins with its object.

        A sidecar is listed directly behind its object, so one object has to be remembered.
        """
        before: ListedObject | None = None
        async for item in self._list():
            if is_sidecar(item.key):
                blob = await self._sidecar(item.key) if _belong_together(before, item) else None
                if blob is not None:
                    yield blob
                    before = None
                continue
            if before is not None and (alone := _told_blob(before)):
                yield alone
            before = item
        if before is not None and (alone := _told_blob(before)):
            yield alone

    async def objects(self) -> AsyncIterator[ListedObject]:
        """Every object that holds bytes of a blob, and sidecars whose object is gone.

        Whoever cleans up compares them with the catalogue: what it does not know and what is older
        than any push can take belongs to nothing, and `delete` takes its key.
        """
        before: ListedObject | None = None
        async for item in self._list():
            if not (is_sidecar(item.key) and _belong_together(before, item)):
                yield item
            before = item

    async def _list(self) -> AsyncIterator[ListedObject]:
        async for item in self._bucket.list(FOLDER):
            if is_ours(item.key):
                yield item

    async def _sidecar(self, key: str) -> StoredBlob | None:
        try:
            blob = read_sidecar(await self._bucket.get_all(key))
        except KeyError:
            return None
        return blob if blob is not None and sidecar_of(blob.key) == key else None

    # Records

    async def put_record(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """As the protocol says; what the store has confirmed is durable in any case."""
        await self._bucket.put(name, content)

    async def get_record(self, name: str) -> bytes:
        return await self._bucket.get_all(name)

    async def delete_record(self, name: str) -> None:
        await self._bucket.delete(name)

    async def records(self, folder: str) -> AsyncIterator[str]:
        async for item in self._bucket.list(folder):
            yield item.key


def _unknown() -> Digest | None:
    return None


def _belong_together(item: ListedObject | None, sidecar: ListedObject) -> bool:
    return item is not None and sidecar_of(item.key) == sidecar.key


def _told_blob(item: ListedObject) -> StoredBlob | None:
    digest = told_digest(item.key)
    return StoredBlob(item.key, digest, item.size) if digest is not None else None
