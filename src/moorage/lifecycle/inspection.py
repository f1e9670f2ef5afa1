# SPDX-License-Identifier: Apache-2.0
"""Looking at one stored file: whether it is there, as long as it should be, and hashes right.

Runs in threads, because reading and hashing let go of the interpreter. Nothing is changed here.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Literal, Self

from moorage.spec.digests import digest_from, new_hasher

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.spec.digests import Digest
    from moorage.storage.protocol import LocalFiles

HASH_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of looking at a file; `reason` is empty when it is as it should be."""

    state: Literal["whole", "lost", "size", "damaged"]
    reason: str = ""
    size: int = 0
    changed_at: int = 0


class Stopped(Exception):
    """The check was ended while a file was being read."""


class Inspector:
    """Looks at files, as many at a time as there are threads."""

    def __init__(
        self, files: LocalFiles, threads: int, hashed: Callable[[int], None], *, quick: bool
    ) -> None:
        """`hashed` is told how many bytes were read; a quick inspector reads none."""
        self._files = files
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="moorage-check")
        self._stop = Event()
        self._hashed = hashed
        self._quick = quick

    async def look(
        self, digest: Digest, key: str | None, size: int, *, thoroughly: bool = False
    ) -> Verdict:
        """Compare the file under `key` with what the catalogue says of it."""
        quick = self._quick and not thoroughly
        if quick:
            return self._look(digest, key, size, quick=True)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, lambda: self._look(digest, key, size, quick=False)
        )

    def _look(self, digest: Digest, key: str | None, size: int, *, quick: bool) -> Verdict:
        if key is None:
            return Verdict("lost", "the catalogue does not say where its bytes are")
        try:
            file = self._files.open(key)
        except KeyError:
            file = None
        if file is None:
            return Verdict("lost", f"its file blobs/{key} is missing")
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
