# SPDX-License-Identifier: Apache-2.0
"""Records as files: <root>/<name>, written elsewhere under <root> and renamed into place.

Without `durable` nothing is synced: the record is a second copy, for the day on which the database
is lost, and the kernel writes it within half a minute. Reading, listing and syncing are done in
threads; writing without a sync is not, since a change of thread costs more than it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from moorage.spec.errors import InsufficientStorage, Unavailable
from moorage.storage.directories import FOLDER_MODE, sync_directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# What a killed process has left of a record: nobody takes an hour to write one.
LEFT_SECONDS = 3600
UNFINISHED = ".unfinished"


class FileRecords:
    """A `RecordKeeper` in a folder."""

    def __init__(self, root: Path) -> None:
        self._record_root = root

    def make_record_folders(self) -> None:
        """Make the folders, and remove what a killed process has left."""
        unfinished = self._record_root / UNFINISHED
        for folder in (self._record_root, unfinished):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        for left in unfinished.iterdir():
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - LEFT_SECONDS:
                    left.unlink()

    async def put_record(self, name: str, content: bytes, *, durable: bool = False) -> None:
        with _refusals():
            if durable:
                await asyncio.to_thread(self._put_file, name, content, durable=True)
            else:
                self._put_file(name, content, durable=False)

    def _put_file(self, name: str, content: bytes, *, durable: bool) -> None:
        # Plain text: paths of pathlib would take as long as the rename.
        target = f"{self._record_root}/{name}"
        source = f"{self._record_root}/{UNFINISHED}/{token_hex(16)}"
        try:
            file = os.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            try:
                written = os.write(file, content)
                while written < len(content):
                    written += os.write(file, memoryview(content)[written:])
                if durable:
                    os.fsync(file)
            finally:
                os.close(file)
            self._rename_record(source, target)
            if durable:
                sync_directory(Path(target).parent)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(source)
            raise

    def _rename_record(self, source: str, target: str) -> None:
        try:
            os.rename(source, target)
        except FileNotFoundError:
            Path(target).parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            os.rename(source, target)

    async def get_record(self, name: str) -> bytes:
        try:
            return await asyncio.to_thread((self._record_root / name).read_bytes)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(name) from None

    async def delete_record(self, name: str) -> None:
        with suppress(FileNotFoundError):
            await asyncio.to_thread(os.unlink, self._record_root / name)

    async def records(self, folder: str) -> AsyncIterator[str]:
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            folders, names = await asyncio.to_thread(self._list_records, here)
            waiting += folders
            for name in names:
                yield name

    def _list_records(self, folder: str) -> tuple[list[str], list[str]]:
        """The folders and the records directly in a folder, by their whole names."""
        folders: list[str] = []
        names: list[str] = []
        with suppress(FileNotFoundError), os.scandir(self._record_root / folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    found = folders if entry.is_dir(follow_symlinks=False) else names
                    found.append(f"{folder}/{entry.name}")
        return folders, names


@contextmanager
def _refusals() -> Iterator[None]:
    """What a client is told when a record cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise InsufficientStorage("the disk that holds the blobs is full") from error
        reason = error.strerror or str(error)
        raise Unavailable(f"the registry's folder cannot be written: {reason}") from error
