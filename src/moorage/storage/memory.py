# SPDX-License-Identifier: Apache-2.0
"""Blobs in the memory of one process: for tests and for registries that may forget."""

from __future__ import annotations

import time
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING

from moorage.storage.protocol import (
    PIECE_BYTES,
    StoredBlob,
    UnfinishedUpload,
    UploadBusy,
    UploadLost,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator

    from moorage.spec.digests import Digest, Hasher


class MemoryStore:
    """A `BlobStore` that is also an `AppendableStore` and a `RecordKeeper`."""

    def __init__(self) -> None:
        self._blobs: dict[str, tuple[Digest, bytes]] = {}
        self._uploads: dict[str, _UploadBuffer] = {}
        self._records: dict[str, bytes] = {}

    async def start(self) -> None:
        """Nothing to make ready."""

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
        content = b"".join([piece async for piece in pieces])
        return self._keep(digest, content)

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        content = self._blobs[key][1][start:stop]
        for position in range(0, len(content), PIECE_BYTES):
            yield content[position : position + PIECE_BYTES]

    async def delete(self, key: str) -> None:
        self._blobs.pop(key, None)

    async def stored(self) -> AsyncIterator[StoredBlob]:
        for key, (digest, content) in list(self._blobs.items()):
            yield StoredBlob(key, digest, len(content))

    @contextmanager
    def append(self, session: str) -> Iterator[_UploadBuffer]:
        buffer = self._uploads.setdefault(session, _UploadBuffer())
        if buffer.held:
            raise UploadBusy(session)
        buffer.held = True
        try:
            yield buffer
        finally:
            buffer.held = False
            buffer.touched_at = time.time_ns() // 1000

    async def hash_upload(self, session: str, hasher: Hasher, start: int, stop: int) -> None:
        hasher.update(bytes(self._uploads[session].content[start:stop]))

    async def publish(self, session: str, digest: Digest, size: int) -> StoredBlob:
        buffer = self._uploads.get(session) or _UploadBuffer()
        if buffer.size != size:
            raise UploadLost(session)
        self._uploads.pop(session, None)
        return self._keep(digest, bytes(buffer.content))

    async def discard(self, session: str) -> None:
        self._uploads.pop(session, None)

    async def unfinished(self) -> AsyncIterator[UnfinishedUpload]:
        for session, buffer in list(self._uploads.items()):
            yield UnfinishedUpload(session, len(buffer.content), buffer.touched_at)

    async def put_record(self, name: str, content: bytes, *, durable: bool = False) -> None:
        self._records[name] = content

    async def get_record(self, name: str) -> bytes:
        return self._records[name]

    async def delete_record(self, name: str) -> None:
        self._records.pop(name, None)

    async def records(self, folder: str) -> AsyncIterator[str]:
        for name in list(self._records):
            if name.startswith(f"{folder}/"):
                yield name

    def _keep(self, digest: Digest, content: bytes) -> StoredBlob:
        key = f"{digest}.{token_hex(8)}"
        self._blobs[key] = (digest, content)
        return StoredBlob(key, digest, len(content))


class _UploadBuffer:
    """An upload's bytes."""

    __slots__ = ("content", "held", "touched_at")

    def __init__(self) -> None:
        self.content = bytearray()
        self.held = False
        self.touched_at = time.time_ns() // 1000

    @property
    def size(self) -> int:
        return len(self.content)

    def rewind(self, offset: int) -> None:
        del self.content[offset:]

    def write(self, piece: bytes) -> None:
        self.content += piece
