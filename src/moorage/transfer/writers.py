# SPDX-License-Identifier: Apache-2.0
"""Where a layout is written: a new folder, a tar file, or a tar on a stream.

A folder or file grows under another name beside it and gets its own when it is complete; when
something goes wrong, what was begun is removed. A stream shows its reader by its missing end.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol

from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PARTIAL_SUFFIX = ".partial"


class LayoutWriter(Protocol):
    """Takes the files of a layout, one after the other."""

    async def write(self, name: str, size: int, pieces: AsyncIterator[bytes]) -> None:
        """Write a file of exactly `size` bytes."""


class FolderWriter:
    """Files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def write(self, name: str, size: int, pieces: AsyncIterator[bytes]) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            await _copy(pieces, size, file, name)


class TarWriter:
    """Entries of a tar, without times and owners, so that equal content is an equal archive."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    async def write(self, name: str, size: int, pieces: AsyncIterator[bytes]) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = size
        entry.mode = 0o644
        # The name of a sha512 blob is too long for the oldest format; PAX is the standard's answer.
        self._stream.write(entry.tobuf(tarfile.PAX_FORMAT))
        await _copy(pieces, size, self._stream, name)
        self._stream.write(bytes(-size % tarfile.BLOCKSIZE))

    def finish(self) -> None:
        """Write the end that tells a complete archive."""
        self._stream.write(bytes(2 * tarfile.BLOCKSIZE))
        self._stream.flush()


@contextmanager
def folder_writer(destination: Path) -> Iterator[LayoutWriter]:
    """A new folder.

    Raises:
        CannotTransfer: there is something of this name.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise CannotTransfer(f"{destination} exists and is not empty; choose another name")
    partial = _partial(destination)
    partial.mkdir(parents=True)
    try:
        yield FolderWriter(partial)
        os.replace(partial, destination)  # noqa: PTH105 (replaces an empty folder, as rename does)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def tar_writer(destination: Path) -> Iterator[LayoutWriter]:
    """A new tar file.

    Raises:
        CannotTransfer: there is something of this name.
    """
    if destination.exists():
        raise CannotTransfer(f"{destination} exists; remove it or choose another name")
    partial = _partial(destination)
    try:
        with partial.open("xb") as file:
            writer = TarWriter(file)
            yield writer
            writer.finish()
            os.fsync(file.fileno())
        partial.rename(destination)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def stream_writer(stream: IO[bytes]) -> Iterator[LayoutWriter]:
    """A tar on a stream."""
    writer = TarWriter(stream)
    yield writer
    writer.finish()


def _partial(destination: Path) -> Path:
    partial = destination.with_name(destination.name + PARTIAL_SUFFIX)
    if partial.exists():
        raise CannotTransfer(
            f"{partial} exists: another export is writing it, or one was killed; remove it"
        )
    return partial


async def _copy(pieces: AsyncIterator[bytes], size: int, file: IO[bytes], name: str) -> None:
    written = 0
    async for piece in pieces:
        written += len(piece)
        if written <= size:
            file.write(piece)
    if written != size:
        raise CannotTransfer(f"{name} has {written} bytes, not {size}; see `moorage check`")
