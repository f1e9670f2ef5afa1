# SPDX-License-Identifier: Apache-2.0
"""An object store in memory: what a store must do whose objects never change once written."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from moorage.spec.digests import Digest
from moorage.storage.protocol import PIECE_BYTES, Extent, StoredBlob, StoredObject

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable


class ExtentMemory:
    """An `ExtentStore`; `by_key` and `recorded` can be looked into."""

    def __init__(self, extent_bytes: int | None = None) -> None:
        """`extent_bytes` is where an object ends although the body goes on."""
        self._extent_bytes = extent_bytes
        self.by_key: dict[str, bytes] = {}
        self.recorded: dict[str, StoredBlob] = {}

    async def start(self) -> None:
        """Nothing to make ready."""

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
        """Keep a blob."""
        content = b"".join([piece async for piece in pieces])
        blob = StoredBlob(self._keep(content), digest, len(content))
        self.recorded[blob.key] = blob
        return blob

    async def write_extent(
        self, pieces: AsyncIterator[bytes], digest: Callable[[], Digest | None]
    ) -> Extent | None:
        """Keep a request's bytes."""
        content = b""
        async for piece in pieces:
            content += piece
            if self._extent_bytes is not None and len(content) >= self._extent_bytes:
                break
        named = digest()
        if not content:
            return None
        key = self._keep(content)
        if named is not None and named == Digest.of(content, named.algorithm):
            self.recorded[key] = StoredBlob(key, named, len(content))
        return Extent(key, len(content))

    async def record(self, blob: StoredBlob) -> None:
        """Remember the digest."""
        self.recorded[blob.key] = blob

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes."""
        content = self.by_key[key][start:stop]
        for position in range(0, len(content), PIECE_BYTES):
            yield content[position : position + PIECE_BYTES]

    async def delete(self, key: str) -> None:
        """Forget."""
        self.by_key.pop(key, None)
        self.recorded.pop(key, None)

    async def stored(self) -> AsyncIterator[StoredBlob]:
        """Everything whose digest is known."""
        for blob in list(self.recorded.values()):
            yield blob

    async def objects(self) -> AsyncIterator[StoredObject]:
        """Everything, as old as can be."""
        for key, content in list(self.by_key.items()):
            yield StoredObject(key, len(content), 0)

    def _keep(self, content: bytes) -> str:
        key = uuid4().hex
        self.by_key[key] = content
        return key


class RecordedMemory(ExtentMemory):
    """The same with records: all that is asked of an object store."""

    def __init__(self, extent_bytes: int | None = None) -> None:
        super().__init__(extent_bytes)
        self.named: dict[str, bytes] = {}

    async def put_record(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Keep a record."""
        self.named[name] = content

    async def get_record(self, name: str) -> bytes:
        """Its content."""
        return self.named[name]

    async def delete_record(self, name: str) -> None:
        """Forget it."""
        self.named.pop(name, None)

    async def records(self, folder: str) -> AsyncIterator[str]:
        """All below a folder."""
        for name in list(self.named):
            if name.startswith(f"{folder}/"):
                yield name
