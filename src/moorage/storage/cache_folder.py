# SPDX-License-Identifier: Apache-2.0
"""A folder with copies of objects, bounded in bytes and shared by any number of processes.

    <root>/run-<boot id>/objects/<2 hex>/<hex>   a whole object, named by a hash of its key
    <root>/run-<boot id>/fills/<random>          one that is being fetched, locked by who fetches it
    <root>/run-<boot id>/usage                   the bytes of both, and the lock for changing it

A copy is renamed into its place when it is complete, so that nobody ever sees a half of one, and
ends with a line that repeats its length. Nothing is synced: after a power cut a file may hold
anything, so what another run of the machine has left is thrown away. A file that is being sent
outlives its eviction. Invariant: no fault of this folder's disk is a fault of anything else.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import struct
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING

from moorage.spec.errors import Unavailable
from moorage.storage.directories import FOLDER_MODE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Old enough to be written down again: so a popular object costs one write in so many seconds.
RECENT_SECONDS = 300.0
# An eviction frees this share at least, so that a full cache is not searched for each object.
FREED_SHARE = 0.05
_ENDING = struct.Struct(">8sQ")
_MAGIC = b"moorage\n"
_FILE_MODE = 0o640
_NO_PREALLOCATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
RUN = "run-"
OBJECTS = "objects"
FILLS = "fills"
USAGE = "usage"


@dataclass(frozen=True, slots=True)
class _Copy:
    """What an eviction knows of a file."""

    used_at: float
    size: int
    path: str


class CacheFolder:
    """The folder. Methods that may wait for the disk or for another process say so."""

    def __init__(self, root: Path, size: int, boot: str) -> None:
        """At most `size` bytes; without a `boot` id nothing is kept, since nothing is safe."""
        self._root = root
        self._size = size
        self._boot = boot
        self._run = root / f"{RUN}{boot}"
        self._objects = self._run / OBJECTS
        self._fills = self._run / FILLS

    def start(self) -> None:
        """Make the folder and empty it of what other runs of the machine have left (waits).

        A full disk is not the registry's concern: then nothing is kept.

        Raises:
            Unavailable: the folder cannot be made.
        """
        try:
            self._make_folders()
            for left in self._root.glob(f"{RUN}*"):
                if left != self._run and _is_left_by_a_run(left):
                    shutil.rmtree(left, ignore_errors=True)
        except OSError as error:
            if error.errno in _NO_ROOM:
                return
            reason = error.strerror or str(error)
            raise Unavailable(
                f"the cache folder {self._root} cannot be used: {reason}: let the user that the "
                "registry runs as write there, or name another folder as "
                "storage.localcache.rootdirectory"
            ) from error

    def _make_folders(self) -> None:
        self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if self._boot:
            for folder in (self._run, self._objects, self._fills):
                folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            _refuse_strangers(self._run)

    def open(self, key: str) -> int | None:
        """A descriptor of the whole object, which the caller must close; None if it is not here.

        Behind the object's bytes there are some of the cache's own.
        """
        path = self._path(key)
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            whole = content_size(file) is not None
        except OSError:
            whole = False
        if not whole:
            os.close(file)
            self.drop(key)
            return None
        with suppress(OSError):
            if abs(time.time() - os.fstat(file).st_mtime) > RECENT_SECONDS:
                os.utime(file)
        return file

    def drop(self, key: str) -> None:
        """Forget an object."""
        with suppress(OSError):
            os.unlink(self._path(key))

    def begin(self, key: str, size: int) -> NewCopy | None:
        """Room for an object of `size` bytes; None if it cannot be had (waits).

        It counts from now on, as if it were complete.
        """
        needed = size + _ENDING.size
        if not self._boot or needed > self._size:
            return None
        path = str(self._fills / token_hex(16))
        file = -1
        try:
            with self._counting() as count:
                count.used = self._make_room(count.used, needed)
                if count.used + needed > self._size:
                    return None
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _preallocate(file, needed)
                count.used += needed
        except OSError as error:
            if file >= 0:
                os.close(file)
                with suppress(OSError):
                    os.unlink(path)
            if isinstance(error, FileNotFoundError):
                # Somebody has emptied the cache; the next object finds its folders again.
                with suppress(OSError):
                    self._make_folders()
            return None
        return NewCopy(self, file, path, self._path(key), size)

    def release(self, size: int) -> None:
        """So many bytes fewer are used (waits)."""
        with suppress(OSError), self._counting() as count:
            count.used = max(count.used - size, 0)

    def _path(self, key: str) -> str:
        name = hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
        return f"{self._objects}/{name[:2]}/{name}"

    @contextmanager
    def _counting(self) -> Iterator[_Count]:
        """The bytes in use, held against all other processes while they are changed."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        file = os.open(self._run / USAGE, flags, _FILE_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = os.pread(file, 32, 0)
            count = _Count(int(text) if text.strip().isdigit() else self._measure())
            yield count
            os.pwrite(file, f"{count.used:<31}\n".encode(), 0)
        finally:
            os.close(file)

    def _make_room(self, used: int, needed: int) -> int:
        """Remove what was not used for longest, if there is not room enough; what is used then."""
        if used + needed <= self._size:
            return used
        self._sweep_fills()
        # Fills first: what is published between the two is counted twice, and never not at all.
        used = sum(copy.size for copy in self._copies(self._fills))
        copies = sorted(self._copies(self._objects), key=lambda copy: copy.used_at)
        used += sum(copy.size for copy in copies)
        wanted = min(self._size - needed, int(self._size * (1 - FREED_SHARE)))
        for copy in copies:
            if used <= wanted:
                break
            with suppress(OSError):
                os.unlink(copy.path)
                used -= copy.size
        return used

    def _measure(self) -> int:
        return sum(
            copy.size for folder in (self._fills, self._objects) for copy in self._copies(folder)
        )

    def _copies(self, folder: Path) -> Iterator[_Copy]:
        waiting = [str(folder)]
        while waiting:
            with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                            continue
                        status = entry.stat(follow_symlinks=False)
                        yield _Copy(status.st_mtime, status.st_size, entry.path)

    def _sweep_fills(self) -> None:
        """Remove what killed processes were fetching: nobody holds its lock any more."""
        for copy in self._copies(self._fills):
            with suppress(OSError):
                file = os.open(copy.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(copy.path)
                finally:
                    os.close(file)


@dataclass(slots=True)
class _Count:
    used: int


class NewCopy:
    """An object on its way into the folder; can be read while it grows."""

    __slots__ = ("_file", "_folder", "_path", "_size", "_target", "_written")

    def __init__(self, folder: CacheFolder, file: int, path: str, target: str, size: int) -> None:
        self._folder = folder
        self._file = file
        self._path = path
        self._target = target
        self._size = size
        self._written = 0

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            OSError: the disk is full or broken.
        """
        rest = memoryview(piece)
        while rest:
            count = os.pwrite(self._file, rest, self._written)
            self._written += count
            rest = rest[count:]

    def read(self, count: int, offset: int) -> bytes:
        """Bytes that have been written.

        Raises:
            OSError: the disk is broken.
        """
        return os.pread(self._file, count, offset)

    def publish(self) -> bool:
        """Let everybody have the object, which is complete; whether that worked (waits)."""
        try:
            os.pwrite(self._file, _ENDING.pack(_MAGIC, self._size), self._size)
            if os.path.lexists(self._target):
                # Another process was faster; its copy is counted, so this one must not stay.
                self.abandon()
                return False
            os.makedirs(os.path.dirname(self._target), mode=FOLDER_MODE, exist_ok=True)
            os.rename(self._path, self._target)
        except OSError:
            self.abandon()
            return False
        return True

    def abandon(self) -> None:
        """Give the room back (waits)."""
        with suppress(OSError):
            os.unlink(self._path)
        self._folder.release(self._size + _ENDING.size)

    def close(self) -> None:
        """Nobody reads it through this any more."""
        os.close(self._file)


def content_size(file: int) -> int | None:
    """How long the object in a file of the cache is; None if the file is not what was written."""
    size = os.fstat(file).st_size - _ENDING.size
    if size < 0:
        return None
    ending = os.pread(file, _ENDING.size, size)
    return size if ending == _ENDING.pack(_MAGIC, size) else None


def _refuse_strangers(folder: Path) -> None:
    """Where others may make folders, one that is there already may hold what they want served."""
    if folder.lstat().st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{folder.name} in it belongs to another user")


def _is_left_by_a_run(folder: Path) -> bool:
    """Whether there is nothing but a cache in it: other things may be named alike."""
    with suppress(OSError):
        return {entry.name for entry in folder.iterdir()} <= {OBJECTS, FILLS, USAGE}
    return False


def _preallocate(file: int, size: int) -> None:
    """Take the room now: a full disk is found out before anything was fetched."""
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in _NO_PREALLOCATION:
            raise
        os.ftruncate(file, size)
