# SPDX-License-Identifier: Apache-2.0
"""Two stores that look like one while blobs are moved between them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from moorage.spec.digests import Digest
from moorage.spec.errors import Unavailable
from moorage.storage.filesystem import FilesystemStore
from moorage.storage.memory import MemoryStore
from moorage.storage.moving import MovingExtents, MovingFiles, moving_store
from moorage.storage.protocol import (
    AppendableStore,
    ExtentStore,
    InheritingStore,
    ListingStore,
    LocalFiles,
    RecordKeeper,
    SigningStore,
)
from tests.storage.contract import SESSION, AppendableStoreContract, content, pieces_of
from tests.storage.records_contract import RecordsContract
from tests.support.extents import RecordedMemory

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.storage.moving import MovedFrom
    from moorage.storage.protocol import BlobStore, StoredBlob


class Signing(RecordedMemory):
    """Objects in memory that have addresses."""

    async def signed_url(self, key: str) -> str | None:
        """An address for any key, as real stores make them."""
        return f"https://store.example.com/{key}"

    def may_hold(self, key: str) -> bool:
        """Every key of ours is a plain word."""
        return "/" not in key


class TestMovingFiles(AppendableStoreContract):
    """Two folders look like one store."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path

    def make(self) -> MovingFiles:
        """A new store."""
        return two_folders(self._tmp_path)


class TestMovingRecords(RecordsContract):
    """Records too."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path

    async def keeper(self) -> MovingFiles:
        """A new store."""
        store = two_folders(self._tmp_path)
        await store.start()
        return store


def two_folders(folder: Path) -> MovingFiles:
    """A move from one folder to another."""
    (folder / "old" / "blobs").mkdir(parents=True)
    (folder / "old" / "uploads").mkdir()
    previous = FilesystemStore(folder / "old", must_exist=True)
    store = moving_store(FilesystemStore(folder / "new"), previous)
    assert isinstance(store, MovingFiles)
    return store


async def put(store: BlobStore, body: bytes) -> StoredBlob:
    """Store a body."""
    return await store.write(Digest.of(body), pieces_of(body))


def test_what_is_old_is_read_and_what_is_new_is_elsewhere(tmp_path: Path) -> None:
    """A blob of the previous store is read, opened and deleted; a new one never goes there."""

    async def scenario() -> None:
        store = two_folders(tmp_path)
        await store.start()
        old, new = await put(store.previous, b"old"), await put(store, b"new")

        for blob, body in ((old, b"old"), (new, b"new")):
            assert await content(store, blob.key) == body
            assert await content(store, blob.key, 1, 2) == body[1:2]
            file = store.open(blob.key)
            assert file is not None
            assert os.pread(file, 10, 0) == body
            os.close(file)
        assert await store.is_in_previous(old.key)
        assert not await store.is_in_previous(new.key)
        assert {blob.key async for blob in store.stored()} == {old.key, new.key}
        assert [blob async for blob in store.previous.stored()] == [old]
        assert {item.key async for item in store.objects()} == {old.key, new.key}
        for blob in (old, new):
            await store.delete(blob.key)
            with pytest.raises(KeyError):
                store.open(blob.key)
            with pytest.raises(KeyError):
                await store.is_in_previous(blob.key)
        assert [blob async for blob in store.stored()] == []

    asyncio.run(scenario())


def test_from_files_to_objects(tmp_path: Path) -> None:
    """Each key is opened or signed by the store that can do it, and by no other."""

    async def scenario() -> None:
        previous = FilesystemStore(tmp_path / "old")
        objects = Signing()
        store = moving_store(objects, previous)
        assert isinstance(store, MovingExtents)
        await store.start()
        old, new = await put(previous, b"old"), await put(store, b"new")
        objects.by_key.pop(old.key, None)

        assert store.open(new.key) is None
        assert await store.signed_url(new.key) == f"https://store.example.com/{new.key}"
        assert await store.signed_url(old.key) is None
        file = store.open(old.key)
        assert file is not None
        os.close(file)
        assert await content(store, old.key) + await content(store, new.key) == b"oldnew"
        await previous.delete(old.key)
        with pytest.raises(KeyError):
            store.open(old.key)
        with pytest.raises(KeyError):
            await content(store, old.key)

    asyncio.run(scenario())


def test_between_two_object_stores() -> None:
    """Where keys look alike the store is asked that has it."""

    async def scenario() -> None:
        previous, objects = Signing(), Signing()
        store = moving_store(objects, previous)
        old, new = await put(previous, b"old"), await put(store, b"new")

        assert await content(store, old.key) + await content(store, new.key) == b"oldnew"
        assert await store.is_in_previous(old.key)
        assert not await store.is_in_previous(new.key)
        assert store.open(old.key) is None
        await store.delete(old.key)
        assert previous.by_key == {}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("new", "uploads_as"),
    [(MemoryStore(), AppendableStore), (RecordedMemory(), ExtentStore)],
    ids=["files", "objects"],
)
def test_it_uploads_like_the_new_store(new: MovedFrom, uploads_as: type) -> None:
    """The way of uploading is that of the new store alone."""
    store = moving_store(new, MemoryStore())  # type: ignore[arg-type] # it is one of both

    assert isinstance(store, uploads_as)
    assert isinstance(store, AppendableStore) != isinstance(store, ExtentStore)
    for ability in (RecordKeeper, LocalFiles, SigningStore, ListingStore, InheritingStore):
        assert isinstance(store, ability)


@pytest.mark.parametrize("objects", [False, True])
def test_what_uploads_have_left_is_tidied(tmp_path: Path, *, objects: bool) -> None:
    """Unfinished uploads of the previous store are listed, and discarded where they are."""

    async def scenario() -> None:
        previous = FilesystemStore(tmp_path / "old")
        new = RecordedMemory() if objects else FilesystemStore(tmp_path / "new")
        store = moving_store(new, previous)
        await store.start()
        with previous.append(SESSION) as file:
            file.write(b"half")
        if isinstance(store, MovingFiles):
            assert [left.session async for left in store.unfinished()] == [SESSION]
            await store.discard(SESSION)
        else:
            assert [left.session async for left in store.left_behind()] == [SESSION]
            await store.discard_left(SESSION)
        assert [left async for left in previous.unfinished()] == []

    asyncio.run(scenario())


def test_a_copied_record_that_is_deleted_stays_deleted() -> None:
    """A record that goes away while it is copied is in neither store afterwards."""

    class Fading(MemoryStore):
        """Somebody deletes a record right after it was read."""

        async def get_record(self, name: str) -> bytes:
            """Once."""
            found = await super().get_record(name)
            await store.delete_record(name)
            return found

    async def scenario() -> None:
        await store.previous.put_record("manifests/a", b"content")
        await store.previous.put_record("manifests/b", b"content")
        assert not await store.copy_record("manifests/a")
        with pytest.raises(KeyError):
            await store.store.get_record("manifests/a")

    store = moving_store(MemoryStore(), Fading())
    asyncio.run(scenario())


def test_a_previous_folder_that_is_not_mounted(tmp_path: Path) -> None:
    """A previous folder without blobs is refused and not made."""
    store = FilesystemStore(tmp_path / "unmounted", must_exist=True)

    with pytest.raises(Unavailable, match="mount the disk"):
        asyncio.run(store.start())
    assert not (tmp_path / "unmounted").exists()
