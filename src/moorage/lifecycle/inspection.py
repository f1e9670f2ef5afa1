# SPDX-License-Identifier: Apache-2.0
"""Looking at the bytes of one blob: whether they are there, as many as there should be, and right.

Files are read in threads, because reading and hashing let go of the interpreter; objects come over
the network, several at a time. Nothing is changed here.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Literal, Self

from moorage.spec.digests import digest_from, new_hasher
from moorage.spec.errors import OCIError
from moorage.storage.extents import read_extents
from moorage.storage.protocol import LocalFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from moorage.spec.digests import Digest
    from moorage.storage.protocol import BlobStore, Extent

HASH_PIECE_BYTES = 1024 * 1024
# A request to an object store is mostly waiting.
STREAMS_PER_THREAD = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of looking; `reason` is empty when it is as it should be."""

    state: Literal["whole", "lost", "size", "damaged"]
    reason: str = ""
    size: int = 0
    changed_at: int = 0


class Stopped(Exception):
    """The check was ended while a file was being read."""


class Inspector:
    """Looks at blobs, as many at a time as there are threads."""

    def __init__(
        self, store: BlobStore, threads: int, hashed: Callable[[int], None], *, quick: bool
    ) -> None:
        """`hashed` is told how many bytes were read; a quick inspector reads next to none."""
        self._store = store
        self._files = store if isinstance(store, LocalFiles) else None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="moorage-check")
        self._streams = asyncio.Semaphore(threads * STREAMS_PER_THREAD)
        self._stop = Event()
        self._hashed = hashed
        self._quick = quick

    async def look(
        self, digest: Digest, extents: Sequence[Extent], size: int, *, thoroughly: bool = False
    ) -> Verdict:
        """Compare what is stored with what the catalogue says of it."""
        quick = self._quick and not thoroughly
        if not extents:
            return Verdict("lost", "the catalogue does not say where its bytes are")
        files = self._files
        if files is not None and len(extents) == 1:
            key = extents[0].key
            if quick:
                verdict = self._look_at_file(files, digest, key, size, quick=True)
            else:
                verdict = await asyncio.get_running_loop().run_in_executor(
                    self._pool, lambda: self._look_at_file(files, digest, key, size, quick=False)
                )
            if verdict is not None:
                return verdict
        async with self._streams:
            return await self._look_at_stream(digest, extents, size, quick=quick)

    def _look_at_file(
        self, files: LocalFiles, digest: Digest, key: str, size: int, *, quick: bool
    ) -> Verdict | None:
        """What there is to say of a file; None when the key is none."""
        try:
            file = files.open(key)
        except KeyError:
            return Verdict("lost", f"its file blobs/{key} is missing")
        if file is None:
            return None
        try:
            status = os.fstat(file)
            changed_at = status.st_ctime_ns // 1000
            if status.st_size != size:
                reason = f"its file has {status.st_size} bytes, not {size}"
                return Verdict("size", reason, status.st_size, changed_at)
            actual = digest if quick else self._hash(file, digest.algorithm)
        except OSError as error:
            return Verdict("damaged", f"its file cannot be read: {error.strerror}")
        finally:
            os.close(file)
        if actual != digest:
            return Verdict("damaged", f"its file hashes to {actual}", size, changed_at)
        return Verdict("whole", size=size, changed_at=changed_at)

    async def _look_at_stream(
        self, digest: Digest, extents: Sequence[Extent], size: int, *, quick: bool
    ) -> Verdict:
        try:
            stored = sum([await self._size(extent) for extent in extents])
            if stored != size:
                return Verdict("size", f"its objects have {stored} bytes, not {size}", stored)
            actual = digest if quick else await self._hash_stream(digest.algorithm, extents, size)
        except KeyError as error:
            return Verdict("lost", f"its object {error.args[0]} is missing")
        except OCIError as error:
            return Verdict("damaged", f"it cannot be read: {error.message}")
        if actual != digest:
            return Verdict("damaged", f"its bytes hash to {actual}", size)
        return Verdict("whole", size=size)

    async def _size(self, extent: Extent) -> int:
        """The size of an object, found out by asking for its last byte and one more.

        Raises:
            KeyError: there is no such object.
        """
        last = max(extent.size - 1, 0)
        tail = [piece async for piece in self._store.read(extent.key, last, extent.size + 1)]
        return last + sum(map(len, tail))

    async def _hash_stream(self, algorithm: str, extents: Sequence[Extent], size: int) -> Digest:
        hasher = new_hasher(algorithm)
        async for piece in read_extents(self._store, extents, 0, size):
            if self._stop.is_set():
                raise Stopped
            hasher.update(piece)
            self._hashed(len(piece))
        return digest_from(algorithm, hasher)

    def _hash(self, file: int, algorithm: str) -> Digest:
        hasher = new_hasher(algorithm)
        position = 0
        while piece := os.pread(file, HASH_PIECE_BYTES, position):
            if self._stop.is_set():
                raise Stopped
            hasher.update(piece)
            position += len(piece)
            self._hashed(len(piece))
        return digest_from(algorithm, hasher)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
