# SPDX-License-Identifier: Apache-2.0
"""The files of a layout, whether they lie in a folder or in an archive.

Invariant: a name leads to a plain file below the folder or inside the archive, or to nothing.
"""

from __future__ import annotations

import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from moorage.storage.protocol import PIECE_BYTES
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Files(Protocol):
    """Files by their names, which are relative and have slashes."""

    def size(self, name: str) -> int | None:
        """How long the file is; None if there is none of this name."""

    def read(self, name: str, limit: int) -> bytes:
        """A whole small file.

        Raises:
            CannotTransfer: there is no such file, or it has more than `limit` bytes.
        """
        ...

    def pieces(self, name: str) -> AsyncIterator[bytes]:
        """A file of any length, which must exist, in pieces."""
        ...

    def close(self) -> None:
        """Give back what is held."""


class FolderFiles:
    """The files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def size(self, name: str) -> int | None:
        try:
            status = os.lstat(self._root / safe_name(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def read(self, name: str, limit: int) -> bytes:
        check_small(self.size(name), name, limit)
        return (self._root / safe_name(name)).read_bytes()

    async def pieces(self, name: str) -> AsyncIterator[bytes]:
        file = os.open(self._root / safe_name(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while piece := os.read(file, PIECE_BYTES):
                yield piece
        finally:
            os.close(file)

    def close(self) -> None:
        """Nothing is held between reads."""


def safe_name(name: str) -> str:
    """The name in its plainest form: `./a//b` is `a/b`.

    Raises:
        CannotTransfer: it leads out of the folder or archive.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise CannotTransfer(f"the name {name!a} leads out of the archive; it is not imported")
    return str(path)


def check_small(size: int | None, name: str, limit: int) -> None:
    """Refuse a file that is not there, or too long to be read whole.

    Raises:
        CannotTransfer: with the reason.
    """
    if size is None:
        raise CannotTransfer(f"it has no file {name}")
    if size > limit:
        raise CannotTransfer(f"its file {name} has {size} bytes; at most {limit} are read")
