# SPDX-License-Identifier: Apache-2.0
"""How the bytes of distribution's blobs get into the store: as files, or as streams.

Files become hard links or copies where source and store are both folders; everything else is read
and written. Invariant: what is streamed is compared with its digest in any case, since it is read.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Protocol

from moorage.spec.digests import digest_from, new_hasher
from moorage.storage.adoption import check_content, open_regular
from moorage.storage.protocol import Adopted, AdoptingStore, StoredBlob, WrongContent
from moorage.transfer.distribution_source import FileSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from moorage.spec.digests import Digest
    from moorage.storage.protocol import BlobStore
    from moorage.transfer.distribution_source import DistributionSource

# As many as keep a line busy; each may hold two parts of an upload in memory.
STREAMS = 4


class Carrier(Protocol):
    """A way for blobs to go."""

    async def take(self, digest: Digest) -> Adopted:
        """Give the store a blob; it is durable after `settle`.

        Raises:
            WrongContent: its bytes hash to something else.
            FileNotFoundError: they are not there.
            OSError: they cannot be read.
            InsufficientStorage, Unavailable: one of the stores refused.
        """
        ...

    async def inspect(self, digest: Digest) -> Adopted:
        """What `take` would do, as far as that can be seen without doing it; raises the same."""
        ...

    async def settle(self, blobs: Sequence[StoredBlob]) -> None:
        """Make what was taken durable."""


def carrier_for(
    source: DistributionSource, store: BlobStore, *, copy: bool, verify: bool
) -> Carrier:
    """The best way from this source into this store."""
    if isinstance(source, FileSource) and isinstance(store, AdoptingStore):
        return _Files(source, store, copy=copy, verify=verify)
    return _Streams(source, store, verify=verify)


class _Files:
    """Files that the store adopts."""

    def __init__(
        self, source: FileSource, store: AdoptingStore, *, copy: bool, verify: bool
    ) -> None:
        self._source = source
        self._store = store
        self._copy = copy
        self._verify = verify

    async def take(self, digest: Digest) -> Adopted:
        path = self._source.path(digest)
        return await self._store.adopt(path, digest, copy=self._copy, verify=self._verify)

    async def inspect(self, digest: Digest) -> Adopted:
        path = self._source.path(digest)
        size = await asyncio.to_thread(_inspect, path, digest, verify=self._verify)
        return Adopted(StoredBlob("", digest, size), linked=not self._copy)

    async def settle(self, blobs: Sequence[StoredBlob]) -> None:
        await self._store.settle(blobs)


class _Streams:
    """Bytes that are read and written; a store's `write` is durable when it returns."""

    def __init__(self, source: DistributionSource, store: BlobStore, *, verify: bool) -> None:
        self._source = source
        self._store = store
        self._verify = verify
        self._streams = asyncio.Semaphore(STREAMS)

    async def take(self, digest: Digest) -> Adopted:
        async with self._streams:
            return Adopted(await self._store.write(digest, self._checked(digest)), linked=False)

    async def inspect(self, digest: Digest) -> Adopted:
        async with self._streams:
            if self._verify:
                size = sum([len(piece) async for piece in self._checked(digest)])
            else:
                size = await self._source.size(digest)
        return Adopted(StoredBlob("", digest, size), linked=False)

    async def settle(self, blobs: Sequence[StoredBlob]) -> None:
        """They are durable already."""

    async def _checked(self, digest: Digest) -> AsyncIterator[bytes]:
        """The bytes; an end that comes with another digest is no end."""
        hasher = new_hasher(digest.algorithm)
        async for piece in self._source.pieces(digest):
            hasher.update(piece)
            yield piece
        actual = digest_from(digest.algorithm, hasher)
        if actual != digest:
            raise WrongContent(digest, actual)


def _inspect(path: Path, digest: Digest, *, verify: bool) -> int:
    """The size of a file that could be taken."""
    file = open_regular(path)
    try:
        if verify:
            check_content(file, digest)
        return os.fstat(file).st_size
    finally:
        os.close(file)
