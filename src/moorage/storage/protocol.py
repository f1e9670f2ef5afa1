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
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from moorage.spec.digests import Digest, Hasher

# One read, one write: larger pieces win nothing and smaller ones cost a third more CPU.
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Extent:
    """One stored object that is a blob, or a piece of one."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob in the store: where it begins, what it should hash to, how long it is.

    `pieces` are its extents in order; none stand for the usual single one under `key`.
    """

    key: str
    digest: Digest
    size: int
    pieces: tuple[Extent, ...] = ()

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Where all of its bytes are, in order."""
        return self.pieces or (Extent(self.key, self.size),)


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
class ExtentStore(BlobStore, Protocol):
    """The ability to write each request's bytes as one object, which becomes a blob uncopied.

    Where these objects are is kept in the catalogue; a finished upload is its list of extents.
    """

    async def write_extent(
        self, pieces: AsyncIterator[bytes], digest: Callable[[], Digest | None]
    ) -> Extent | None:
        """Store a stream as one object, in parts, with bounded memory; None if it was empty.

        The bytes are durable when this returns. `digest` is asked when the stream has ended and
        answers with the digest of a blob that would be this extent alone, or None: a store that
        can still choose the name of the object makes it tell the digest. An exception out of
        `pieces` leaves nothing behind.

        Raises:
            InsufficientStorage, Unavailable: the store refused; nothing is left behind.
        """

    async def record(self, blob: StoredBlob) -> None:
        """Make the digest of a finished upload recoverable from the store alone.

        Raises:
            Unavailable: the store refused.
        """


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as its store lists it; `modified_at` is in microseconds, by the store's clock."""

    key: str
    size: int
    modified_at: int


@runtime_checkable
class ListingStore(BlobStore, Protocol):
    """The ability to tell of everything that is stored for blobs, whoever it belongs to."""

    def objects(self) -> AsyncIterator[StoredObject]:
        """Every object whose bytes are, were or may become those of a blob."""


@runtime_checkable
class SigningStore(BlobStore, Protocol):
    """The ability to let a client fetch an object from the store itself."""

    async def signed_url(self, key: str) -> str | None:
        """An URL that serves the object to whoever has it, for a while; None for this key not."""


@runtime_checkable
class RecordKeeper(Protocol):
    """The ability to keep small named things beside the blobs.

    They are what a lost database is rebuilt from. A name is made of parts with slashes between
    them; a part does not begin with a dot.
    """

    async def put_record(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Keep it under this name, in place of what was there; never a half of it.

        A store on a local disk may answer before it has reached the disk, unless `durable`.

        Raises:
            InsufficientStorage, Unavailable: the store refused; nothing is changed.
        """

    async def get_record(self, name: str) -> bytes:
        """What is kept under this name.

        Raises:
            KeyError: nothing is.
        """

    async def delete_record(self, name: str) -> None:
        """Forget it; one that is not there is no error."""

    def records(self, folder: str) -> AsyncIterator[str]:
        """The names of everything below `folder`, in no particular order."""


@runtime_checkable
class SettlingStore(BlobStore, Protocol):
    """The ability of a store that tidies up behind requests that have failed."""

    async def settled(self) -> None:
        """Wait until everything is removed that failed writes have left."""


@runtime_checkable
class LocalFiles(Protocol):
    """The ability to hand out a file of the operating system, for the kernel to send."""

    def open(self, key: str) -> int | None:
        """A file descriptor for reading, which the caller must close; None when what is stored
        under this key is not a file here and must be read as a stream.

        Raises:
            KeyError: nothing is stored under this key.
        """


@runtime_checkable
class InheritingStore(Protocol):
    """The ability to tidy up another store, which was used before this one."""

    def left_behind(self) -> AsyncIterator[UnfinishedUpload]:
        """Every upload that has bytes there; nobody can continue it."""
        ...

    async def discard_left(self, session: str) -> None:
        """Drop the bytes of one; none being there is no error."""


@runtime_checkable
class KeyTelling(Protocol):
    """The ability to see at a key that it was given out by another kind of store."""

    def may_hold(self, key: str) -> bool:
        """False when nothing can be stored here under this key."""
        ...


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
