# SPDX-License-Identifier: Apache-2.0
"""The stores that keep records keep their contract, and the disk store's files are as described."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from moorage.storage.file_records import LEFT_SECONDS, UNFINISHED
from moorage.storage.filesystem import FilesystemStore
from moorage.storage.memory import MemoryStore
from tests.storage.records_contract import NAME, RecordsContract

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.storage.protocol import RecordKeeper


class TestFileRecords(RecordsContract):
    """The contract, in a folder."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    async def keeper(self) -> RecordKeeper:
        """A new store."""
        store = FilesystemStore(self.folder)
        await store.start()
        return store


class TestMemoryRecords(RecordsContract):
    """The contract, in memory."""

    async def keeper(self) -> RecordKeeper:
        """A new store."""
        return MemoryStore()


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """The next start removes the half of a record that is old, and leaves a young one alone."""
    unfinished = tmp_path / "records" / UNFINISHED
    unfinished.mkdir(parents=True)
    for name, age in (("old", LEFT_SECONDS + 60), ("young", 0)):
        (unfinished / name).write_bytes(b"half")
        now = (unfinished / name).stat().st_mtime
        os.utime(unfinished / name, (now - age, now - age))

    asyncio.run(FilesystemStore(tmp_path).start())

    assert [path.name for path in unfinished.iterdir()] == ["young"]


def test_a_record_is_a_file_of_its_name(tmp_path: Path) -> None:
    """A record lies under its name, and nothing else is left beside it."""

    async def scenario() -> None:
        store = FilesystemStore(tmp_path)
        await store.start()
        await store.put_record(NAME, b"x")

    asyncio.run(scenario())

    files = [path for path in (tmp_path / "records").rglob("*") if path.is_file()]
    assert files == [tmp_path / "records" / NAME]
