# SPDX-License-Identifier: Apache-2.0
"""Files inside a tar, read where they stand: nothing is unpacked, no name of it is ever opened.

What cannot be read twice (standard input, a compressed archive) is first written to a file without
a name beside the registry's data. Invariant: memory is bounded whatever the archive says.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from typing import IO, TYPE_CHECKING, Protocol

from moorage.storage.protocol import PIECE_BYTES
from moorage.transfer.files import check_small, safe_name
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from io import BufferedReader
    from pathlib import Path

# A name or link takes at most a few KiB; tar allows a header of any length, and reads it whole.
MAX_HEADER_BYTES = 1024 * 1024
# An image has at most 127 layers with some four files each; a mirror of 10,000 images fits well.
MAX_MEMBERS = 1_000_000
# A link to a link to a link is enough for every program that writes such archives.
MAX_LINKS = 8
# What stays free for the registry that may be serving from the same disk.
RESERVED_BYTES = 256 * 1024 * 1024
_SPOOL_PIECE_BYTES = 8 * 1024 * 1024
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_COMPRESSIONS: tuple[tuple[bytes, Callable[[BufferedReader], Source]], ...] = (
    (b"\x1f\x8b", lambda stream: gzip.GzipFile(fileobj=stream)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
_MAGIC_BYTES = 6


class Source(Protocol):
    """Something that can be read once."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


class ArchiveFiles:
    """The plain files of a tar. Owns the file."""

    def __init__(self, file: IO[bytes]) -> None:
        """Read all headers of an archive that can be read anywhere.

        Raises:
            CannotTransfer: it is no tar, or has something in it that no layout has.
        """
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        file.seek(0)
        try:
            with tarfile.open(fileobj=_BoundedReader(file), mode="r:") as archive:  # type: ignore[call-overload]
                while (member := archive.next()) is not None:
                    archive.members.clear()
                    self._note(member)
        except (tarfile.TarError, ValueError, EOFError) as error:
            raise CannotTransfer(f"the archive cannot be read as a tar: {error}") from None

    def _note(self, member: tarfile.TarInfo) -> None:
        name = safe_name(member.name)
        if len(self._places) + len(self._links) >= MAX_MEMBERS:
            raise CannotTransfer(f"the archive has more than {MAX_MEMBERS} files")
        if member.isdir():
            return
        if member.issym():
            target = posixpath.join(posixpath.dirname(name), member.linkname)
            self._links[name] = safe_name(posixpath.normpath(target))
        elif member.islnk():
            self._links[name] = safe_name(member.linkname)
        elif member.isreg() and not member.issparse():
            self._places[name] = (member.offset_data, member.size)
        else:
            raise CannotTransfer(f"the archive has a special file {member.name!a} in it")

    def _find(self, name: str) -> tuple[int, int] | None:
        name = safe_name(name)
        for _ in range(MAX_LINKS):
            if name not in self._links:
                break
            name = self._links[name]
        return self._places.get(name)

    def size(self, name: str) -> int | None:
        place = self._find(name)
        return None if place is None else place[1]

    def read(self, name: str, limit: int) -> bytes:
        place = self._find(name)
        check_small(None if place is None else place[1], name, limit)
        assert place is not None  # check_small refuses what is not there
        return os.pread(self._file.fileno(), place[1], place[0])

    async def pieces(self, name: str) -> AsyncIterator[bytes]:
        place = self._find(name)
        if place is None:
            raise FileNotFoundError(name)
        position, left = place
        while left:
            piece = os.pread(self._file.fileno(), min(PIECE_BYTES, left), position)
            if not piece:
                raise CannotTransfer(f"the archive ends in the middle of {name}")
            position += len(piece)
            left -= len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()


class _BoundedReader:
    """The file as tarfile sees it: headers only, and none longer than we have memory for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise CannotTransfer(f"the archive has a header of {size} bytes; it is not imported")
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()


def open_archive(path: Path, spool: Path) -> ArchiveFiles:
    """The archive in a file; `spool` is a folder with room for what must be unpacked.

    Raises:
        CannotTransfer: it is no tar, or there is no room.
        OSError: the file cannot be read.
    """
    file = path.open("rb")
    try:
        if _compression(file) is None:
            return ArchiveFiles(file)
        files = read_archive(file, spool)
    except BaseException:
        file.close()
        raise
    file.close()
    return files


def read_archive(stream: BufferedReader, spool: Path) -> ArchiveFiles:
    """The archive in a stream that can be read once; raises as `open_archive` does."""
    opener = _compression(stream)
    file = tempfile.TemporaryFile(dir=spool)  # noqa: SIM115 (ArchiveFiles owns and closes it)
    try:
        source = stream if opener is None else opener(stream)
        while piece := source.read(_SPOOL_PIECE_BYTES):
            _refuse_to_fill(spool, len(piece))
            file.write(piece)
        file.flush()
        return ArchiveFiles(file)
    except (zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile) as error:
        file.close()
        raise CannotTransfer(f"the archive cannot be unpacked: {error}") from None
    except BaseException:
        file.close()
        raise


def _refuse_to_fill(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size + RESERVED_BYTES:
        raise CannotTransfer(f"there is no room for the unpacked archive in {folder}")


def _compression(stream: BufferedReader) -> Callable[[BufferedReader], Source] | None:
    """What undoes the compression of the stream, if it has one."""
    start = stream.peek(_MAGIC_BYTES)
    if start.startswith(_ZSTD_MAGIC):
        raise CannotTransfer(
            "the archive is compressed with zstd; unpack it on the way: "
            "zstd -dc FILE | moorage import -"
        )
    for magic, opener in _COMPRESSIONS:
        if start.startswith(magic):
            return opener
    return None
