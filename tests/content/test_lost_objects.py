# SPDX-License-Identifier: Apache-2.0
"""Objects that are lost, damaged, too many for one or not to be destroyed, and who meets them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from moorage import upkeep
from moorage.content import joining
from moorage.content.uploads import Chunk, UploadConflict
from moorage.settings.sections.storage import Maintenance
from moorage.spec.digests import Digest
from moorage.spec.errors import BlobUploadUnknown, Unavailable, Unknown
from moorage.storage.protocol import Extent, StoredBlob
from tests.content.test_objects import (
    DIGEST,
    PARTS,
    REPOSITORY,
    SOMEBODY,
    WHOLE,
    body,
    registry_in,
)
from tests.support.extents import ExtentMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from pathlib import Path

    from moorage.db.protocol import Transaction


class ShortObjects(ExtentMemory):
    """A store in which no object is longer than ten bytes."""

    async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
        """Keep a blob in pieces."""
        content = b"".join([piece async for piece in pieces])
        cut = [content[at : at + 10] for at in range(0, len(content), 10)]
        extents = [Extent(self._keep(piece), len(piece)) for piece in cut]
        return StoredBlob(extents[0].key, digest, len(content), tuple(extents))


def test_a_blob_longer_than_any_object_stays_in_pieces(tmp_path: Path) -> None:
    """Where the store cannot keep it as one object nothing is changed, and no copy is left."""

    async def scenario() -> None:
        async with registry_in(tmp_path, ShortObjects()) as registry:
            await registry.push_in_parts()
            before = await registry.keys("extents")

            assert not await registry.content.joining.join(DIGEST)

            assert await registry.keys("extents") == before
            assert set(registry.store.by_key) == set(before)
            blob = await registry.content.blobs.find(REPOSITORY, DIGEST)
            assert not blob.whole

    asyncio.run(scenario())


def test_joining_does_not_begin_with_what_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob beyond the bound is not proposed, so that it is not read again and again."""

    async def scenario() -> None:
        async with registry_in(tmp_path) as registry:
            await registry.push_in_parts()
            monkeypatch.setattr(joining, "LARGEST_BYTES", len(WHOLE) - 1)
            assert await registry.content.joining.next_split("") is None
            monkeypatch.setattr(joining, "LARGEST_BYTES", len(WHOLE))
            assert await registry.content.joining.next_split("") == DIGEST

    asyncio.run(scenario())


class Counting(ExtentMemory):
    """A store that counts what is asked of it."""

    reads = 0

    def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes."""
        self.reads += 1
        return super().read(key, start, stop)


def test_what_cannot_be_joined_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged blob is not fetched from the store again in each round of the upkeep."""
    monkeypatch.setattr(upkeep, "TIDY_SECONDS", 0.0)

    async def scenario() -> None:
        store = Counting()
        async with registry_in(tmp_path, store) as registry:
            await registry.push_in_parts()
            damaged = (await registry.keys("extents"))[1]
            store.by_key[damaged] = b"damaged part"
            rounds = asyncio.Semaphore(0)
            find = registry.content.joining.next_split

            async def next_split(after: str) -> Digest | None:
                rounds.release()
                return await find(after)

            monkeypatch.setattr(registry.content.joining, "next_split", next_split)
            work = upkeep.Upkeep(registry.content, Maintenance())
            work.start()
            for _ in range(6):
                await rounds.acquire()
            await work.stop()
            assert store.reads == len(PARTS)

    asyncio.run(scenario())


class Holding(ExtentMemory):
    """A store that does not let go of one object."""

    held = ""

    async def delete(self, key: str) -> None:
        """Forget, or refuse."""
        if key == self.held:
            raise Unavailable("it is under a legal hold")
        await super().delete(key)


def test_one_object_that_stays_does_not_keep_the_others(tmp_path: Path) -> None:
    """What the store refuses to destroy is left for later; everything else is swept."""

    async def scenario() -> None:
        store = Holding()
        async with registry_in(tmp_path, store) as registry:
            uploads = registry.content.uploads
            for _ in range(3):
                session = (await uploads.start(REPOSITORY, SOMEBODY, "sha256")).session
                for part in PARTS:
                    await uploads.append(REPOSITORY, session, Chunk(body(part)))
                await uploads.cancel(REPOSITORY, session)
            store.held = (await registry.keys("garbage"))[0]

            with pytest.raises(Unavailable, match="legal hold"):
                await registry.content.garbage.sweep()
            await registry.content.garbage.sweep()

            assert set(store.by_key) == {store.held}
            assert await registry.keys("garbage") == [store.held]

    asyncio.run(scenario())


def test_who_comes_too_late_writes_nothing_beside_the_others_bytes(tmp_path: Path) -> None:
    """A closing request that was overtaken leaves the digest of the other's object as it is."""

    async def scenario() -> None:
        async with registry_in(tmp_path) as registry:
            uploads = registry.content.uploads
            session = (await uploads.start(REPOSITORY, SOMEBODY, "sha256")).session

            async def overtaken() -> AsyncIterator[bytes]:
                yield WHOLE
                await uploads.append(REPOSITORY, session, Chunk(body(PARTS[0])))

            with pytest.raises(UploadConflict):
                await uploads.finish(REPOSITORY, session, DIGEST, Chunk(overtaken()), SOMEBODY)

            (key,) = await registry.keys("upload_extents")
            assert registry.store.recorded[key].digest == Digest.of(PARTS[0])

    asyncio.run(scenario())


class Sweeping(ExtentMemory):
    """A store that loses everything just before it is read."""

    lossy = False

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes, or none any more."""
        if self.lossy:
            self.by_key.clear()
        async for piece in super().read(key, start, stop):
            yield piece


def test_an_upload_whose_objects_are_gone_is_unknown(tmp_path: Path) -> None:
    """Who must read a session again that was canceled and swept meanwhile may start anew."""

    async def scenario() -> None:
        store = Sweeping()
        async with registry_in(tmp_path, store) as registry:
            uploads = registry.content.uploads
            session = (await uploads.start(REPOSITORY, SOMEBODY, "sha256")).session
            await uploads.append(REPOSITORY, session, Chunk(body(WHOLE)))
            store.lossy = True
            with pytest.raises(BlobUploadUnknown):
                await uploads.finish(
                    REPOSITORY, session, Digest.of(WHOLE, "sha512"), Chunk(body()), SOMEBODY
                )

    asyncio.run(scenario())


def test_a_blob_that_goes_away_is_said_before_the_reply_begins(tmp_path: Path) -> None:
    """Extents that are not those of the blob any more are no content of its length."""

    async def scenario() -> None:
        async with registry_in(tmp_path) as registry:
            await registry.push_in_parts()
            blob = await registry.content.blobs.find(REPOSITORY, DIGEST)

            async def forget(transaction: Transaction) -> None:
                await transaction.execute("DELETE FROM extents WHERE digest = $1", DIGEST)

            await registry.database.transaction(forget)
            with pytest.raises(Unknown, match="has lost the bytes"):
                await registry.content.blobs.open(blob, 0, blob.size)

    asyncio.run(scenario())
