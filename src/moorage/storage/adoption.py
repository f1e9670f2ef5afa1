# SPDX-License-Identifier: Apache-2.0
"""Files of others that become blobs, by hard link or copy, and damaged blobs that are set aside.

The steps of `FilesystemStore.adopt`, `settle` and `quarantine`, each in one thread. Invariant: a
file appears below blobs/ complete and, where that was asked for, checked; nothing is overwritten.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from moorage.spec.digests import digest_from, new_hasher
from moorage.storage.directories import FOLDER_MODE, make_shard, sync_directory
from moorage.storage.protocol import Adopted, StoredBlob, WrongContent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moorage.spec.digests import Digest, Hasher

PIECE_BYTES = 1024 * 1024
# Another file system, a file of somebody else's (fs.protected_hardlinks), 65,000 names already, or
# a file system without hard links: all of them leave the copy.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


def adopt(
    blobs: Path, uploads: Path, path: Path, digest: Digest, *, copy: bool, verify: bool
) -> Adopted:
    """Give the file a name below `blobs`; a copy grows in `uploads` first."""
    key = Path(digest.algorithm, digest.encoded[:2], f"{digest.encoded}.{token_hex(16)}")
    target = blobs / key
    source = open_regular(path)
    try:
        if not copy:
            if verify:
                check_content(source, digest)
            if _link(path, target):
                return Adopted(StoredBlob(str(key), digest, os.fstat(source).st_size), linked=True)
        size = _copy(source, uploads / f"adopted-{token_hex(16)}", target, digest, verify=verify)
        return Adopted(StoredBlob(str(key), digest, size), linked=False)
    finally:
        os.close(source)


def open_regular(path: Path) -> int:
    """A file descriptor of a plain file, and of nothing that only looks like one.

    Raises:
        OSError: there is no such file, or it is a link, a folder or a device.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return file


def check_content(file: int, digest: Digest) -> None:
    """Read the open file from its beginning.

    Raises:
        WrongContent: it hashes to something else.
    """
    hasher = new_hasher(digest.algorithm)
    position = 0
    while piece := os.pread(file, PIECE_BYTES, position):
        hasher.update(piece)
        position += len(piece)
    _compare(hasher, digest)


def settle(blobs: Path, keys: Iterable[str], *, sync_names: bool) -> None:
    """Make adopted files durable.

    The first sync commits the journal for all of them; the later ones find nothing left to do.
    """
    folders = set()
    for key in keys:
        path = blobs / key
        folders.add(path.parent)
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    if sync_names:
        for folder in folders:
            sync_directory(folder)


def quarantine(blobs: Path, folder: Path, key: str) -> Path | None:
    """Move a blob's file into `folder`, under a name that says what it was; None: it is gone."""
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    source = blobs / key
    target = folder / f"{source.parent.parent.name}-{source.name}"
    while os.path.lexists(target):
        target = target.with_name(f"{target.name}.{token_hex(4)}")
    try:
        os.rename(source, target)
    except FileNotFoundError:
        return None
    sync_directory(source.parent)
    sync_directory(folder)
    return target


def _link(path: Path, target: Path) -> bool:
    make_shard(target.parent)
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def _copy(source: int, staging: Path, target: Path, digest: Digest, *, verify: bool) -> int:
    hasher = new_hasher(digest.algorithm)
    position = 0
    make_shard(target.parent)
    try:
        file = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            while piece := os.pread(source, PIECE_BYTES, position):
                if verify:
                    hasher.update(piece)
                _write(file, piece)
                position += len(piece)
        finally:
            os.close(file)
        if verify:
            _compare(hasher, digest)
        os.rename(staging, target)
    except BaseException:
        with suppress(FileNotFoundError):
            staging.unlink()
        raise
    return position


def _write(file: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(file, rest) :]


def _compare(hasher: Hasher, digest: Digest) -> None:
    actual = digest_from(digest.algorithm, hasher)
    if actual != digest:
        raise WrongContent(digest, actual)
