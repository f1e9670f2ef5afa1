# SPDX-License-Identifier: Apache-2.0
"""A backup as a folder.

    backup.json                     what the backup is; written last, in one step
    catalogue-<microseconds>.gz     the rows of the database (`table_text`)
    blobs/<algorithm>/<2 hex>/<hex> the blobs, named by their digests

The catalogue is the one that backup.json names. Invariant: a file under blobs/ was hashed and
synced before it got its name, so whatever has a name is whole; and the backup that was complete
before stays complete until the next one is.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from moorage.spec.digests import Digest, digest_from, new_hasher
from moorage.spec.errors import Unavailable
from moorage.storage.directories import sync_directory
from moorage.storage.protocol import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterator

HEAD = "backup.json"
LOCK = "lock"
UNFINISHED = ".unfinished"
# Nobody but its owner needs a copy of everything.
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


class Catalogue(msgspec.Struct, frozen=True):
    """The file with the rows."""

    file: str
    size: int
    sha256: str


class BackupHead(msgspec.Struct, frozen=True, rename="camel"):
    """What a backup says of itself; times are in microseconds.

    `missing` are the blobs that the registry itself had lost.
    """

    format: int
    version: str
    schema: int
    begun_at: int
    finished_at: int
    catalogue: Catalogue
    rows: dict[str, int]
    with_blobs: bool
    blobs: int
    bytes: int
    last_event: str
    missing: list[str]


class DamagedCopy(Exception):
    """Bytes hash to something else than their name says."""

    def __init__(self, digest: Digest, actual: Digest) -> None:
        super().__init__(f"{digest} hashes to {actual}")


class BackupFolder:
    """One backup's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def opened_for_writing(self) -> Iterator[None]:
        """Hold the folder, made where there is none, against other backups.

        Raises:
            Unavailable: it is something else, or another backup is writing to it.
        """
        self._root.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        names = {entry.name for entry in self._root.iterdir()}
        if names and LOCK not in names:
            raise Unavailable(
                f"{self._root} is not empty and no backup: name a folder that is either"
            )
        lock = os.open(self._root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(f"another backup is writing to {self._root}") from None
            unfinished = self._root / UNFINISHED
            unfinished.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            for left in unfinished.iterdir():
                left.unlink()
            yield
        finally:
            os.close(lock)

    def head(self) -> BackupHead:
        """What the backup says of itself.

        Raises:
            Unavailable: there is no complete backup here, or a newer Moorage wrote it.
        """
        try:
            content = (self._root / HEAD).read_bytes()
            head = msgspec.json.decode(content, type=BackupHead)
        except FileNotFoundError:
            raise Unavailable(
                f"there is no complete backup in {self._root}: {HEAD}, which is written last, is "
                "missing"
            ) from None
        except msgspec.DecodeError as error:
            raise Unavailable(f"{self._root / HEAD} is damaged: {error}") from error
        if head.format != 1:
            raise Unavailable(f"{self._root} was written by a newer Moorage; use that one")
        if "/" in head.catalogue.file:
            raise Unavailable(f"{self._root / HEAD} names a catalogue outside of the backup")
        return head

    def new_catalogue(self, begun_at: int) -> Path:
        """Where the rows of the next backup go."""
        return self._root / f"catalogue-{begun_at:016d}.gz"

    def catalogue(self, head: BackupHead) -> Path:
        """The rows of a backup, after their checksum was compared.

        Raises:
            Unavailable: they are damaged.
        """
        path = self._root / head.catalogue.file
        try:
            found = describe(path)
        except FileNotFoundError:
            raise Unavailable(f"the backup is damaged: {path.name} is missing") from None
        if found != head.catalogue:
            raise Unavailable(f"the backup is damaged: {path.name} is not what was written")
        return path

    def finish(self, head: BackupHead) -> None:
        """Make everything durable, and then this the backup; forget the one before."""
        for folder, folders, _ in os.walk(self._root):
            folders[:] = [name for name in folders if name != UNFINISHED]
            sync_directory(Path(folder))
        temporary = self._root / UNFINISHED / token_hex(16)
        with temporary.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(head), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._root / HEAD)
        sync_directory(self._root)
        for other in self._root.glob("catalogue-*.gz"):
            if other.name != head.catalogue.file:
                other.unlink()

    # Blobs

    def _path(self, digest: Digest) -> Path:
        return self._root / "blobs" / digest.algorithm / digest.encoded[:2] / digest.encoded

    def size(self, digest: Digest) -> int | None:
        """How long the copy of a blob is; None when there is none."""
        with suppress(FileNotFoundError):
            return self._path(digest).stat().st_size
        return None

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> None:
        """Copy a blob; it is durable when this returns.

        Raises:
            DamagedCopy: it hashes to something else; nothing is left.
        """
        temporary = self._root / UNFINISHED / token_hex(16)
        hasher = new_hasher(digest.algorithm)
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
            try:
                async for piece in pieces:
                    hasher.update(piece)
                    written = os.write(file, piece)
                    while written < len(piece):
                        written += os.write(file, memoryview(piece)[written:])
                _require(digest, digest_from(digest.algorithm, hasher))
                await asyncio.to_thread(os.fsync, file)
            finally:
                os.close(file)
            target = self._path(digest)
            target.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            temporary.rename(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    async def read(self, digest: Digest) -> AsyncIterable[bytes]:
        """A blob's copy.

        Raises:
            KeyError: there is none.
            DamagedCopy: at its end, when it hashes to something else.
        """
        hasher = new_hasher(digest.algorithm)
        try:
            file = os.open(self._path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise KeyError(digest) from None
        try:
            while piece := os.read(file, PIECE_BYTES):
                hasher.update(piece)
                yield piece
        finally:
            os.close(file)
        _require(digest, digest_from(digest.algorithm, hasher))

    def prune(self, wanted: set[Digest]) -> int:
        """Delete the copies of all other blobs; return how many that were."""
        count = 0
        for algorithm in (self._root / "blobs").iterdir():
            for path in algorithm.glob("??/*"):
                if Digest(f"{algorithm.name}:{path.name}") not in wanted:
                    path.unlink()
                    count += 1
        return count


def describe(path: Path) -> Catalogue:
    """A file's name, size and checksum."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Catalogue(path.name, path.stat().st_size, sha256)


def _require(digest: Digest, actual: Digest) -> None:
    if actual != digest:
        raise DamagedCopy(digest, actual)
