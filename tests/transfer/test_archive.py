# SPDX-License-Identifier: Apache-2.0
"""Archives that are none, or want more than to be read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from typing import TYPE_CHECKING

import pytest

from moorage.transfer.archive import ArchiveFiles, open_archive, read_archive
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def entry(
    name: str, payload: bytes = b"", kind: bytes = tarfile.REGTYPE, linkname: str = ""
) -> bytes:
    """One entry of a tar, without the end of the tar."""
    header = tarfile.TarInfo(name)
    header.type, header.linkname, header.size = kind, linkname, len(payload)
    padding = bytes(-len(payload) % tarfile.BLOCKSIZE)
    return header.tobuf(tarfile.PAX_FORMAT) + payload + padding


END = bytes(2 * tarfile.BLOCKSIZE)


def giant_header() -> bytes:
    """An extended header that says it has 8 GiB."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 8 * 1024**3 - 1
    return header.tobuf(tarfile.USTAR_FORMAT)


def opened(content: bytes, folder: Path) -> ArchiveFiles:
    """The archive, read from a stream."""
    return read_archive(io.BufferedReader(io.BytesIO(content)), folder)


def test_files_are_found_by_their_plain_names(tmp_path: Path) -> None:
    """Names may begin with ./; folders are no files; the last of two equal names counts."""
    content = (
        entry("folder", kind=tarfile.DIRTYPE)
        + entry("./folder/a", b"old")
        + entry("folder/a", b"new")
        + END
    )
    files = opened(content, tmp_path)

    assert files.size("folder") is None
    assert files.size("folder/b") is None
    assert files.read("./folder//a", 3) == b"new"
    files.close()


def test_links_lead_to_files_inside(tmp_path: Path) -> None:
    """Symbolic and hard links are followed inside the archive, and rings lead nowhere."""
    content = (
        entry("b/link", kind=tarfile.SYMTYPE, linkname="../a/file")
        + entry("c/hard", kind=tarfile.LNKTYPE, linkname="b/link")
        + entry("ring", kind=tarfile.SYMTYPE, linkname="ring")
        + entry("a/file", b"content")
        + END
    )
    files = opened(content, tmp_path)

    assert files.read("b/link", 100) == files.read("c/hard", 100) == b"content"
    assert files.size("ring") is None
    files.close()


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_file_is_opened_compressed_or_not(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    """The compression is found by its first bytes, and nothing is left in the folder."""
    (tmp_path / "archive").write_bytes(compress(entry("a", b"1234567") + END))
    files = open_archive(tmp_path / "archive", tmp_path)

    assert files.read("a", 7) == b"1234567"
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]
    files.close()


def test_small_files_have_a_bound(tmp_path: Path) -> None:
    """A file that should be small is not read when it is not."""
    files = opened(entry("index.json", bytes(11)) + END, tmp_path)

    with pytest.raises(CannotTransfer, match="has 11 bytes; at most 10"):
        files.read("index.json", 10)
    files.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (entry("../outside") + END, "leads out of the archive"),
        (entry("a/../../outside") + END, "leads out of the archive"),
        (entry("/etc/passwd") + END, "leads out of the archive"),
        (entry("a", kind=tarfile.SYMTYPE, linkname="../../etc/passwd") + END, "leads out"),
        (entry("a", kind=tarfile.SYMTYPE, linkname="/etc/passwd") + END, "leads out"),
        (entry("a", kind=tarfile.LNKTYPE, linkname="../outside") + END, "leads out"),
        (entry("device", kind=tarfile.CHRTYPE) + END, "special file"),
        (entry("pipe", kind=tarfile.FIFOTYPE) + END, "special file"),
        (giant_header() + END, "header of"),
        (b"", "cannot be read as a tar"),
        (b"no archive at all", "cannot be read as a tar"),
        (entry("a", bytes(10_000))[:5000], "cannot be read as a tar"),
        (gzip.compress(entry("a", bytes(100_000)) + END)[:-20], "cannot be unpacked"),
        (lzma.compress(entry("a", bytes(100_000)) + END)[:-20], "cannot be unpacked"),
        (b"\x28\xb5\x2f\xfd0000", "zstd"),
    ],
)
def test_hostile_archives(tmp_path: Path, content: bytes, reason: str) -> None:
    """What is no archive of plain files is refused with its fault, read either way."""
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(CannotTransfer, match=reason):
        opened(content, tmp_path)
    with pytest.raises(CannotTransfer, match=reason):
        open_archive(tmp_path / "archive", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_a_full_disk_is_left_some_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would fill the disk under a registry that serves is not unpacked."""
    monkeypatch.setattr("moorage.transfer.archive.RESERVED_BYTES", 1 << 62)

    with pytest.raises(CannotTransfer, match="no room"):
        opened(entry("a", b"1") + END, tmp_path)
