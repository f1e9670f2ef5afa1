# SPDX-License-Identifier: Apache-2.0
"""What a move between stores does with blobs that are special, or that change under its hands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from moorage.lifecycle.pace import Pace
from moorage.observe.progress import SilentProgress
from moorage.spec.digests import Digest
from moorage.storage.memory import MemoryStore
from moorage.storage.moving import moving_store
from moorage.storage.protocol import Extent, StoredBlob
from moorage.transfer.moving_store import StoreMove, StoreMoveOptions, StoreMoveReport
from moorage.transfer.report import CannotTransfer
from tests.storage.contract import content, pieces_of
from tests.support.extents import RecordedMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
    from pathlib import Path

    from moorage.db.protocol import Database, Transaction
    from tests.support.engines import Engine

BODY = b"one and two and three"
DIGEST = Digest.of(BODY)


class Bench:
    """A move between two object stores in memory."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.old, self.new = RecordedMemory(), RecordedMemory()
        self.store = moving_store(self.new, self.old)
        self.left: dict[str, str] = {}

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run a scenario on an open database."""

        async def opened() -> None:
            await self.database.start()
            try:
                await scenario()
            finally:
                await self.database.close()

        asyncio.run(opened())

    async def move(self, **options: bool) -> StoreMoveReport:
        """Move everything."""
        report = StoreMoveReport(self.left.__setitem__)
        made = StoreMoveOptions(**options)
        await StoreMove(self.database, self.store, made, Pace(None), SilentProgress(), report).run()
        return report

    async def put(self, *bodies: bytes, store: RecordedMemory | None = None) -> list[Extent]:
        """Objects with these bytes."""
        extents = []
        for body in bodies:
            extent = await (store or self.old).write_extent(pieces_of(body), lambda: None)
            assert extent is not None
            extents.append(extent)
        return extents

    async def know(self, digest: Digest, extents: Sequence[Extent]) -> None:
        """Let a blob have these extents."""

        async def know(transaction: Transaction) -> None:
            await transaction.execute("DELETE FROM extents WHERE digest = $1", digest)
            size = sum(extent.size for extent in extents)
            await transaction.execute(
                "INSERT INTO blobs (digest, size, created_at, touched_at) VALUES ($1, $2, 0, 0) "
                "ON CONFLICT (digest) DO NOTHING",
                digest,
                size,
            )
            for ordinal, extent in enumerate(extents):
                await transaction.execute(
                    "INSERT INTO extents (digest, ordinal, key, size) VALUES ($1, $2, $3, $4)",
                    digest,
                    ordinal,
                    extent.key,
                    extent.size,
                )

        await self.database.transaction(know)

    async def keys(self, table: str = "extents") -> set[str]:
        """The keys in a table."""
        return {key for (key,) in await self.database.fetch_all(f"SELECT key FROM {table}")}


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    """An empty one on each engine."""
    return Bench(engine.database(tmp_path))


@pytest.mark.parametrize("delete", [False, True])
def test_several_extents_become_one(bench: Bench, *, delete: bool) -> None:
    """A blob in pieces, some of them in the new store already, is one object afterwards."""

    async def scenario() -> None:
        first, last = await bench.put(BODY[:5], BODY[9:])
        (middle,) = await bench.put(BODY[5:9], store=bench.new)
        await bench.know(DIGEST, [first, middle, last])
        report = await bench.move(delete=delete)

        (key,) = await bench.keys()
        assert await content(bench.new, key) == BODY
        assert (report.blobs, report.bytes, report.remaining) == (1, len(BODY), 0)
        done_with = {first.key, middle.key, last.key} if delete else {middle.key}
        assert await bench.keys("garbage") == done_with
        assert set(bench.old.by_key) == {first.key, last.key}

    bench.run(scenario)


def test_a_blob_that_changes_meanwhile_is_moved_as_it_then_is(bench: Bench) -> None:
    """When somebody joins the extents while they are copied, the copy is dropped and made again."""

    class Disturbed(RecordedMemory):
        """While the first copy is written, somebody exchanges what was read."""

        disturbed = False

        async def write(self, digest: Digest, pieces: AsyncIterable[bytes]) -> StoredBlob:
            if not self.disturbed:
                self.disturbed = True
                await bench.know(DIGEST, await bench.put(BODY))
            return await super().write(digest, pieces)

    async def scenario() -> None:
        bench.new = Disturbed()
        bench.store = moving_store(bench.new, bench.old)
        await bench.know(DIGEST, await bench.put(BODY[:5], BODY[5:]))
        report = await bench.move()

        (key,) = await bench.keys()
        assert await content(bench.new, key) == BODY
        assert report.blobs == 1
        assert await bench.keys("garbage") == set(bench.new.by_key) - {key}
        assert len(bench.new.by_key) == 2

    bench.run(scenario)


def test_an_empty_blob_moves(bench: Bench) -> None:
    """A blob without a byte is moved like any other."""

    async def scenario() -> None:
        stored = await bench.old.write(Digest.of(b""), pieces_of())
        await bench.know(Digest.of(b""), [Extent(stored.key, 0)])
        report = await bench.move()

        assert report.blobs == 1
        assert await bench.keys() == set(bench.new.by_key)

    bench.run(scenario)


def test_wrong_bytes_stay_and_leave_nothing(bench: Bench) -> None:
    """Bytes that do not hash to their digest are named, and no copy of them is kept."""

    async def scenario() -> None:
        await bench.know(DIGEST, await bench.put(b"something else"))
        before = await bench.keys()
        report = await bench.move()

        assert "damaged" in bench.left[DIGEST]
        assert (report.blobs, report.remaining) == (0, 1)
        assert await bench.keys() == before
        assert bench.new.by_key == {}

    bench.run(scenario)


def test_open_uploads_of_the_old_store_are_counted(bench: Bench) -> None:
    """An upload whose pieces are in the old store is told of, and can still be finished."""

    async def scenario() -> None:
        (piece,) = await bench.put(b"half")

        async def begin(transaction: Transaction) -> None:
            await transaction.execute(
                "INSERT INTO upload_extents (session, ordinal, key, size) VALUES ('s', 0, $1, 4)",
                piece.key,
            )

        await bench.database.transaction(begin)
        assert (await bench.move()).uploads == 1
        assert await content(bench.store, piece.key) == b"half"

    bench.run(scenario)


def test_one_store_is_no_move(bench: Bench) -> None:
    """Without a previous store there is nothing to move."""
    with pytest.raises(CannotTransfer):
        StoreMove(
            bench.database,
            MemoryStore(),
            StoreMoveOptions(),
            Pace(None),
            SilentProgress(),
            StoreMoveReport(nobody),
        )


def nobody(digest: str, reason: str) -> None:
    """Nobody listens."""
