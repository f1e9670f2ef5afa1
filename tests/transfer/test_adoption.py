# SPDX-License-Identifier: Apache-2.0
"""Files of others become blobs of the store, whole or not at all; damaged blobs are set aside."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from moorage.spec.digests import Digest
from moorage.storage.filesystem import FilesystemStore
from moorage.storage.protocol import AdoptingStore, QuarantiningStore, WrongContent

CONTENT = b"content" * 100_000
DIGEST = Digest.of(CONTENT)


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    """A store with its folders."""
    store = FilesystemStore(tmp_path / "root")
    asyncio.run(store.start())
    return store


def files_below(root: Path) -> list[Path]:
    """Every file in the store, uploads included."""
    return [path for path in root.rglob("*") if path.is_file()]


def test_the_store_has_the_abilities(store: FilesystemStore) -> None:
    """The filesystem store adopts and quarantines."""
    assert isinstance(store, AdoptingStore)
    assert isinstance(store, QuarantiningStore)


@pytest.mark.parametrize("copy", [False, True])
def test_a_file_is_adopted(store: FilesystemStore, tmp_path: Path, *, copy: bool) -> None:
    """A link has the same bytes twice, a copy has its own; both are listed under the digest."""
    source = tmp_path / "data"
    source.write_bytes(CONTENT)
    adopted = asyncio.run(store.adopt(source, DIGEST, copy=copy, verify=True))
    asyncio.run(store.settle([adopted.blob]))

    (file,) = files_below(tmp_path / "root")
    assert file.read_bytes() == CONTENT
    assert (file.stat().st_ino == source.stat().st_ino) == adopted.linked == (not copy)
    assert adopted.blob.size == len(CONTENT)


def test_another_file_system_means_a_copy(store: FilesystemStore, tmp_path: Path) -> None:
    """Where no hard link can be made the file is copied."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is not a file system of its own here")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        source = Path(folder) / "data"
        source.write_bytes(CONTENT)
        adopted = asyncio.run(store.adopt(source, DIGEST, copy=False, verify=True))

    assert not adopted.linked
    assert [file.read_bytes() for file in files_below(tmp_path / "root")] == [CONTENT]


@pytest.mark.parametrize("copy", [False, True])
def test_wrong_content_is_not_adopted(
    store: FilesystemStore, tmp_path: Path, *, copy: bool
) -> None:
    """A file that hashes to something else leaves nothing in the store."""
    (tmp_path / "data").write_bytes(b"something else")

    with pytest.raises(WrongContent, match="hashes to sha256:"):
        asyncio.run(store.adopt(tmp_path / "data", DIGEST, copy=copy, verify=True))
    assert files_below(tmp_path / "root") == []


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "nothing"])
def test_only_plain_files_are_adopted(store: FilesystemStore, tmp_path: Path, kind: str) -> None:
    """A link, folder or pipe is refused, and does not make anybody wait."""
    source = tmp_path / "data"
    if kind == "link":
        (tmp_path / "target").write_bytes(CONTENT)
        source.symlink_to(tmp_path / "target")
    elif kind == "folder":
        source.mkdir()
    elif kind == "pipe":
        os.mkfifo(source)

    with pytest.raises(OSError, match=r"plain file|symbolic links|No such file"):
        asyncio.run(store.adopt(source, DIGEST, copy=False, verify=False))
    assert files_below(tmp_path / "root") == []


def test_the_quarantine_keeps_everything(store: FilesystemStore, tmp_path: Path) -> None:
    """Set aside twice under one name, both files are kept; a key without a file is no error."""
    (tmp_path / "data").write_bytes(CONTENT)
    adopted = asyncio.run(store.adopt(tmp_path / "data", DIGEST, copy=True, verify=True))
    first = asyncio.run(store.quarantine(adopted.blob.key))
    (tmp_path / "root" / "blobs" / adopted.blob.key).write_bytes(b"again")
    second = asyncio.run(store.quarantine(adopted.blob.key))

    assert first is not None
    assert second is not None
    assert (first.read_bytes(), second.read_bytes()) == (CONTENT, b"again")
    assert asyncio.run(store.quarantine(adopted.blob.key)) is None
