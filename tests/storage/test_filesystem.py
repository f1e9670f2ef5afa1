# SPDX-License-Identifier: Apache-2.0
"""The store on disk keeps the contract, and its files are what its documentation says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from moorage.spec.digests import Digest
from moorage.storage.directories import filesystem_of
from moorage.storage.filesystem import FilesystemStore
from moorage.storage.protocol import LocalFiles
from tests.storage.contract import SESSION, AppendableStoreContract, pieces_of

if TYPE_CHECKING:
    from pathlib import Path


class TestFilesystemStore(AppendableStoreContract):
    """The contract, in a folder."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> FilesystemStore:
        """A new store."""
        return FilesystemStore(self.folder)


class TestFilesystemStoreSyncingFolders(TestFilesystemStore):
    """The contract where every folder is synced too."""

    def make(self) -> FilesystemStore:
        """A new store."""
        return FilesystemStore(self.folder, sync_directories="always")


def test_a_blob_lies_under_its_digest(tmp_path: Path) -> None:
    """A file's name begins with the hex of what it hashes to, so the folder explains itself."""

    async def scenario() -> str:
        store = FilesystemStore(tmp_path)
        await store.start()
        return (await store.write(Digest.of(b"hello"), pieces_of(b"hello"))).key

    key = asyncio.run(scenario())

    encoded = Digest.of(b"hello").encoded
    assert key.startswith(f"sha256/{encoded[:2]}/{encoded}.")
    assert (tmp_path / "blobs" / key).read_bytes() == b"hello"


def test_hands_out_files(tmp_path: Path) -> None:
    """The store has files that the kernel can send, and says so by its type."""
    assert isinstance(FilesystemStore(tmp_path), LocalFiles)


def test_a_killed_process_lets_go_of_its_upload(tmp_path: Path) -> None:
    """What one store object held is free once its file is closed, without any cleaning up."""
    first, second = FilesystemStore(tmp_path), FilesystemStore(tmp_path)
    asyncio.run(first.start())
    with first.append(SESSION) as file:
        file.write(b"before the end")

    with second.append(SESSION) as file:
        size = file.size

    assert size == len(b"before the end")


def test_names_the_file_system(tmp_path: Path) -> None:
    """The kernel knows what the temporary folder lies on."""
    assert filesystem_of(tmp_path) != ""
