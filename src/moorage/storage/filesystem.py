# SPDX-License-Identifier: Apache-2.0
"""Blobs as files in a folder.

    <root>/uploads/<session>                          an upload under way
    <root>/blobs/<algorithm>/<2 hex>/<hex>.<suffix>   a blob; its key is the part below blobs/
    <root>/records/<name>                             a record (`file_records`)

The name holds the digest, so the folder alone tells what is in it. The suffix is the upload's own:
two uploads of the same bytes never share a name, so neither can disturb what the other has already
made durable, and a file can be deleted while the same content is being pushed again.

An upload becomes a blob by a rename and one fsync, in this order: the file's fsync then also makes
its new name durable on the file systems in `RENAME_IS_SYNCED`; elsewhere the folder is synced too.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from moorage.spec.digests import SUPPORTED_ALGORITHMS, Digest
from moorage.spec.errors import DigestInvalid, InsufficientStorage, Unavailable
from moorage.storage import adoption
from moorage.storage.directories import (
    FOLDER_MODE,
    RENAME_IS_SYNCED,
    filesystem_of,
    make_root,
    make_shard,
    sync_directory,
    unusable,
)
from moorage.storage.file_records import FileRecords
from moorage.storage.protocol import (
    PIECE_BYTES,
    StoredBlob,
    UnfinishedUpload,
    UploadBusy,
    UploadLost,
)
from moorage.storage.writeback import STEP_BYTES, Writeback

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence

    from moorage.spec.digests import Hasher
    from moorage.storage.protocol import Adopted

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
HASH_PIECE_BYTES = 1024 * 1024


class FilesystemStore(FileRecords):
    """A `BlobStore` with every ability of a local disk."""

    def __init__(
        self, root: Path, *, sync_directories: str = "auto", must_exist: bool = False
    ) -> None:
        """With `must_exist` nothing is made where nothing is."""
        super().__init__(root / "records")
        self._must_exist = must_exist
        self._blobs = root / "blobs"
        self._uploads = root / "uploads"
        self._quarantine = root / "quarantine"
        self._sync_directories = sync_directories
        self._sync_renames = True
        self._writeback = Writeback()

    async def start(self) -> None:
        """Make the folders; all shards of the usual algorithm now, so that no push has to.

        Raises:
            Unavailable: they cannot be made.
        """
        if self._must_exist:
            if not await asyncio.to_thread(self._blobs.is_dir):
                raise Unavailable(
                    f"there are no blobs in {self._blobs.parent}: mount the disk that they are on, "
                    "or correct storage.previous"
                )
            return
        try:
            await asyncio.to_thread(self._make_folders)
        except OSError as error:
            raise unusable(self._blobs.parent, error) from error
        self._sync_renames = (
            self._sync_directories == "always" or filesystem_of(self._blobs) not in RENAME_IS_SYNCED
        )

    def _make_folders(self) -> None:
        usual = self._blobs / SUPPORTED_ALGORITHMS[0]
        make_root(self._blobs.parent)
        for folder in (self._uploads, self._blobs, usual):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        for shard in range(256):
            (usual / f"{shard:02x}").mkdir(mode=FOLDER_MODE, exist_ok=True)
        self.make_record_folders()
        for folder in (usual, self._blobs, self._blobs.parent):
            sync_directory(folder)

    # Required of every store

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
        session = token_hex(16)
        try:
            size = 0
            with self.append(session) as file:
                async for piece in pieces:
                    file.write(piece)
                    size += len(piece)
            return await self.publish(session, digest, size)
        except BaseException:
            await self.discard(session)
            raise

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        file = self.open(key)
        try:
            while stop is None or start < stop:
                wanted = PIECE_BYTES if stop is None else min(PIECE_BYTES, stop - start)
                piece = os.pread(file, wanted, start)
                if not piece:
                    return
                start += len(piece)
                yield piece
        finally:
            os.close(file)

    async def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            await asyncio.to_thread(os.unlink, self._blobs / key)

    async def stored(self) -> AsyncIterator[StoredBlob]:
        for shard in await asyncio.to_thread(self._shards):
            for blob in await asyncio.to_thread(self._list, shard):
                yield blob

    # Uploads

    @contextmanager
    def append(self, session: str) -> Iterator[_UploadFile]:
        path = f"{self._uploads}/{session}"
        with _no_room():
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            try:
                # Held by this open file, against other requests and processes alike; the kernel
                # lets go of it when the process dies.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadBusy(session) from None
            yield _UploadFile(file, path, self._writeback)
        finally:
            os.close(file)

    async def hash_upload(self, session: str, hasher: Hasher, start: int, stop: int) -> None:
        await asyncio.to_thread(_hash_file, self._uploads / session, hasher, start, stop)

    async def publish(self, session: str, digest: Digest, size: int) -> StoredBlob:
        return await asyncio.to_thread(self._publish, session, digest, size)

    def _publish(self, session: str, digest: Digest, size: int) -> StoredBlob:
        shard = Path(digest.algorithm, digest.encoded[:2])
        key = shard / f"{digest.encoded}.{session}"
        source, target = self._uploads / session, self._blobs / key
        file = os.open(source, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(file).st_size != size:
                raise UploadLost(session)
            with _no_room():
                self._rename(source, target)
                os.fsync(file)
                if self._sync_renames:
                    sync_directory(target.parent)
            return StoredBlob(str(key), digest, size)
        finally:
            os.close(file)

    def _rename(self, source: Path, target: Path) -> None:
        try:
            os.rename(source, target)
        except FileNotFoundError:
            if not source.exists():
                raise
            make_shard(target.parent)
            sync_directory(target.parent.parent)
            sync_directory(self._blobs)
            os.rename(source, target)

    async def discard(self, session: str) -> None:
        with suppress(FileNotFoundError):
            await asyncio.to_thread(os.unlink, self._uploads / session)

    async def unfinished(self) -> AsyncIterator[UnfinishedUpload]:
        for path in await asyncio.to_thread(lambda: list(self._uploads.iterdir())):
            with suppress(FileNotFoundError):
                status = path.stat()
                yield UnfinishedUpload(path.name, status.st_size, status.st_mtime_ns // 1000)

    # Files of others, and damaged ones

    async def adopt(self, path: Path, digest: Digest, *, copy: bool, verify: bool) -> Adopted:
        with _no_room():
            return await asyncio.to_thread(
                adoption.adopt, self._blobs, self._uploads, path, digest, copy=copy, verify=verify
            )

    async def settle(self, blobs: Sequence[StoredBlob]) -> None:
        keys = [blob.key for blob in blobs]
        with _no_room():
            await asyncio.to_thread(
                adoption.settle, self._blobs, keys, sync_names=self._sync_renames
            )

    async def quarantine(self, key: str) -> Path | None:
        return await asyncio.to_thread(adoption.quarantine, self._blobs, self._quarantine, key)

    def may_hold(self, key: str) -> bool:
        return key.partition("/")[0] in SUPPORTED_ALGORITHMS

    # Local files

    def open(self, key: str) -> int:
        try:
            return os.open(f"{self._blobs}/{key}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise KeyError(key) from None

    def _shards(self) -> list[Path]:
        return [
            shard
            for algorithm in sorted(self._blobs.iterdir())
            if algorithm.name in SUPPORTED_ALGORITHMS
            for shard in sorted(algorithm.iterdir())
            if shard.is_dir()
        ]

    def _list(self, shard: Path) -> list[StoredBlob]:
        found = []
        with os.scandir(shard) as entries:
            for entry in entries:
                encoded = entry.name.partition(".")[0]
                key = str(Path(shard.parent.name, shard.name, entry.name))
                # Not ours (a name that is no digest), or set aside since the folder was read.
                with suppress(DigestInvalid, FileNotFoundError):
                    digest = Digest.parse(f"{shard.parent.name}:{encoded}")
                    found.append(StoredBlob(key, digest, entry.stat().st_size))
        return found


class _UploadFile:
    """An open upload, written where it stands: page cache first, the disk at `publish`."""

    __slots__ = ("_file", "_offset", "_path", "_writeback", "_written_back")

    def __init__(self, file: int, path: str, writeback: Writeback) -> None:
        self._file = file
        self._path = path
        self._writeback = writeback
        self._offset = 0
        self._written_back = 0

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def rewind(self, offset: int) -> None:
        if self.size > offset:
            os.ftruncate(self._file, offset)
        self._offset = self._written_back = offset

    def write(self, piece: bytes) -> None:
        with _no_room():
            written = os.pwrite(self._file, piece, self._offset)
            while written < len(piece):
                written += os.pwrite(
                    self._file, memoryview(piece)[written:], self._offset + written
                )
        self._offset += len(piece)
        if self._offset - self._written_back >= STEP_BYTES:
            self._writeback.begin(self._path, self._written_back, self._offset)
            self._written_back = self._offset


def _hash_file(path: Path, hasher: Hasher, start: int, stop: int) -> None:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while start < stop:
            piece = file.read(min(HASH_PIECE_BYTES, stop - start))
            if not piece:
                message = f"{path.name} ends at {start} bytes, not at {stop}"
                raise EOFError(message)
            hasher.update(piece)
            start += len(piece)


@contextmanager
def _no_room() -> Iterator[None]:
    """Tell a full disk from a fault of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise InsufficientStorage("the disk that holds the blobs is full") from error
        raise
