# SPDX-License-Identifier: Apache-2.0
"""What a blob store must do, and what it may be able to do besides.

The required part is tiny. Abilities are protocols of their own, discovered by `isinstance`, so that
a new store is useful before it is clever. A key is opaque to everybody but its store; its digest
can be read off the store itself (`StoredBlob.digest`), so that a lost catalogue can be rebuilt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from moorage.spec.digests import Digest, Hasher

# One read, one write: larger pieces win nothing and smaller ones cost a third more CPU.
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One stored object: where it is, what it should hash to, how long it is."""

    key: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """What an upload session has left in the store; `touched_at` is in microseconds."""

    session: str
    size: int
    touched_at: int


@runtime_checkable
class BlobStore(Protocol):
    """Keeps bytes under keys."""

    async def start(self) -> None:
        """Make the store ready, or say why it cannot be used."""

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
        """Store a stream; it is durable when this returns. The caller vouches for the digest.

        Raises:
            InsufficientStorage: there is no room; nothing is left behind.
        """

    def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `stop`, in pieces of about `PIECE_BYTES`.

        Raises:
            KeyError: nothing is stored under this key.
        """

    async def delete(self, key: str) -> None:
        """Forget the key; one that is not there is no error."""

    def stored(self) -> AsyncIterator[StoredBlob]:
        """Everything that is stored, in no particular order."""


class UploadFile(Protocol):
    """An upload's bytes, held by one request alone."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def rewind(self, offset: int) -> None:
        """Go to `offset` and forget whatever lies behind it."""

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            InsufficientStorage: there is no room; earlier pieces are kept.
        """


class UploadBusy(Exception):
    """Another request is writing to this upload."""


class UploadLost(Exception):
    """The upload's bytes are not what they were: its process died while it was being finished."""


@runtime_checkable
class AppendableStore(BlobStore, Protocol):
    """The ability to grow a blob over several requests and then to give it its key, uncopied."""

    def append(self, session: str) -> AbstractContextManager[UploadFile]:
        """Hold the upload's bytes, made on first use, against every other request and process.

        Raises:
            UploadBusy: somebody else holds them.
        """

    async def hash_upload(self, session: str, hasher: Hasher, start: int, stop: int) -> None:
        """Feed the upload's bytes from `start` to before `stop` to the hasher."""

    async def publish(self, session: str, digest: Digest, size: int) -> StoredBlob:
        """Give the finished upload its final key; it is durable when this returns.

        Raises:
            UploadLost: there are not `size` bytes; nothing was changed.
        """

    async def discard(self, session: str) -> None:
        """Drop the upload's bytes; none being there is no error."""

    def unfinished(self) -> AsyncIterator[UnfinishedUpload]:
        """Every upload that has bytes here."""


@runtime_checkable
class LocalFiles(Protocol):
    """The ability to hand out a file of the operating system, for the kernel to send."""

    def open(self, key: str) -> int:
        """A file descriptor for reading, which the caller must close.

        Raises:
            KeyError: nothing is stored under this key.
        """


@dataclass(frozen=True, slots=True)
class Adopted:
    """A file that became a blob; `linked` tells that no byte of it was copied."""

    blob: StoredBlob
    linked: bool


class WrongContent(Exception):
    """A file hashes to something else than the digest that it was offered under."""

    def __init__(self, expected: Digest, actual: Digest) -> None:
        super().__init__(f"it hashes to {actual}")
        self.expected = expected
        self.actual = actual


@runtime_checkable
class AdoptingStore(BlobStore, Protocol):
    """The ability to take over files that another program has written."""

    async def adopt(self, path: Path, digest: Digest, *, copy: bool, verify: bool) -> Adopted:
        """Make a file a blob: a second name for the same bytes where the file system can, else,
        or with `copy`, a copy. It is not durable before `settle`. Unverified, the caller vouches
        for the digest.

        Raises:
            WrongContent: verified, and it hashes to something else; nothing is left behind.
            InsufficientStorage: there is no room for a copy; nothing is left behind.
            OSError: the file cannot be read, or is no plain file.
        """

    async def settle(self, blobs: Sequence[StoredBlob]) -> None:
        """Make adopted blobs durable, many at the price of one."""


@runtime_checkable
class QuarantiningStore(BlobStore, Protocol):
    """The ability to set a damaged blob aside, out of the way but not destroyed."""

    async def quarantine(self, key: str) -> Path | None:
        """Take the key's bytes out of the store; return where they are now, None if nowhere."""
