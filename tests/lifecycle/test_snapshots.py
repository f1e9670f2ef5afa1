# SPDX-License-Identifier: Apache-2.0
"""Snapshots: when one is taken, which are kept, and what is believed of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from moorage.content.changes import Actor, Change, now
from moorage.db.sqlite import SQLiteDatabase
from moorage.events.log import EventLog
from moorage.lifecycle import snapshots
from moorage.lifecycle.choosing_snapshot import choose_snapshot
from moorage.lifecycle.snapshot_keeping import REBUILDING, SnapshotKeeping, SnapshotOptions
from moorage.lifecycle.snapshots import (
    SignatureKey,
    UnusableSnapshot,
    open_snapshot,
    snapshot_times,
    write_snapshot,
)
from moorage.spec.errors import Unavailable
from moorage.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from moorage.db.protocol import Transaction

KEY = SignatureKey(b"k" * 32)
_REPOSITORY = "INSERT INTO repositories (name, created_at) VALUES ($1, 1)"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SQLiteDatabase]:
    """A database for the block."""
    database = SQLiteDatabase(path)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


async def happen(database: SQLiteDatabase, action: str = "test", at: int = 1) -> None:
    """Let something happen, long ago unless said otherwise."""

    async def append(transaction: Transaction) -> None:
        await EventLog().append(transaction, Actor("test"), at, Change(action, ""))

    await database.transaction(append)


def keeping(database: SQLiteDatabase, store: MemoryStore, *, keep: int = 3) -> SnapshotKeeping:
    """Snapshots as often as anybody asks."""
    return SnapshotKeeping(database, store, SnapshotOptions(interval=0, keep=keep, key=KEY))


def told(_: str) -> None:
    """Nobody listens."""


def test_nothing_is_taken_twice(tmp_path: Path) -> None:
    """A snapshot is taken when something has happened, and none before anything has."""

    async def scenario() -> list[bool]:
        store = MemoryStore()
        async with opened(tmp_path / "a.db") as database:
            keeper = keeping(database, store)
            taken = [await keeper.run()]
            await happen(database)
            taken += [await keeper.run(), await keeper.run()]
            await happen(database)
            taken += [await keeper.run()]
            return [head is not None for head in taken]

    assert asyncio.run(scenario()) == [False, True, False, True]


def test_what_just_happened_is_looked_at_again(tmp_path: Path) -> None:
    """After a recent event another is taken: a slower transaction may have a lower number."""

    async def scenario() -> bool:
        store = MemoryStore()
        async with opened(tmp_path / "a.db") as database:
            await happen(database, at=now())
            await keeping(database, store).run()
            return await keeping(database, store).run() is not None

    assert asyncio.run(scenario())


def test_old_ones_are_deleted(tmp_path: Path) -> None:
    """No more are kept than wanted, and the newest of them."""

    async def scenario() -> tuple[list[int], list[int], set[str]]:
        store = MemoryStore()
        async with opened(tmp_path / "a.db") as database:
            taken = []
            for _ in range(5):
                await happen(database)
                head = await keeping(database, store).run()
                assert head is not None
                taken.append(head.taken_at)
            names = {name.split("/")[1] async for name in store.records("snapshots")}
            return taken, (await snapshot_times(store))[0], names

    taken, kept, names = asyncio.run(scenario())
    assert kept == taken[:1:-1]
    assert len(names) == 3


@pytest.mark.parametrize(("first", "takes"), [("test", False), (REBUILDING, True)])
def test_a_new_database_does_not_push_out_what_it_can_be_rebuilt_from(
    tmp_path: Path, first: str, *, takes: bool
) -> None:
    """Beside snapshots of another database none is taken, unless this one was rebuilt from them."""

    async def scenario() -> bool:
        store = MemoryStore()
        async with opened(tmp_path / "lost.db") as lost:
            await happen(lost)
            await keeping(lost, store).run()
        async with opened(tmp_path / "new.db") as new:
            await happen(new, first)
            return await keeping(new, store, keep=1).run() is not None

    assert asyncio.run(scenario()) is takes


def test_a_snapshot_of_several_parts_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many parts there are, every row comes back in order."""
    monkeypatch.setattr(snapshots, "PART_BYTES", 1000)

    async def fill(transaction: Transaction) -> None:
        await transaction.execute_many(_REPOSITORY, [(f"r{number:05d}",) for number in range(3000)])

    async def scenario() -> tuple[int, list[object]]:
        store = MemoryStore()
        async with opened(tmp_path / "a.db") as database:
            await database.transaction(fill)
            head = await write_snapshot(database, store, KEY, 1)
        snapshot = await open_snapshot(store, KEY, 1)
        names: list[object] = [
            name
            async for found in snapshot.rows("repositories")
            for (name,) in found.picked("name")
        ]
        return len(head.parts), names

    parts, names = asyncio.run(scenario())
    assert parts > 3
    assert names == [f"r{number:05d}" for number in range(3000)]


@pytest.mark.parametrize(
    ("written", "read", "reason"),
    [
        (SignatureKey(b"o" * 32), KEY, "its signature is not this registry's"),
        (SignatureKey(None), KEY, "its signature is not this registry's"),
        (KEY, SignatureKey(None), "no key to verify"),
        (SignatureKey(None), SignatureKey(None), "no key to verify"),
    ],
)
def test_only_the_registrys_own_signature_counts(
    tmp_path: Path, written: SignatureKey, read: SignatureKey, reason: str
) -> None:
    """A snapshot with another signature or none is used only by somebody who says so."""

    async def scenario() -> None:
        store = MemoryStore()
        async with opened(tmp_path / "a.db") as database:
            await write_snapshot(database, store, written, 1)
        with pytest.raises(UnusableSnapshot, match=reason):
            await open_snapshot(store, read, 1)
        with pytest.raises(Unavailable, match="--trust-snapshot"):
            await choose_snapshot(store, read, told, trust=False)
        assert await choose_snapshot(store, read, told, trust=True) is not None

    asyncio.run(scenario())


def test_a_damaged_one_makes_way_for_the_one_before(tmp_path: Path) -> None:
    """The newest snapshot that is whole is used, and the reason against a newer one is told."""

    async def scenario() -> tuple[int, list[str]]:
        store, reasons = MemoryStore(), list[str]()
        async with opened(tmp_path / "a.db") as database:
            for taken_at in (1, 2, 3):
                await write_snapshot(database, store, KEY, taken_at)
        await store.put_record("snapshots/0000000000000003/000000", b"damaged")
        await store.delete_record("snapshots/0000000000000002/000000")
        chosen = await choose_snapshot(store, KEY, reasons.append, trust=False)
        assert chosen is not None
        return chosen.head.taken_at, reasons

    taken_at, reasons = asyncio.run(scenario())
    assert taken_at == 1
    assert "damaged" in reasons[0]
    assert "missing" in reasons[1]


def test_a_head_does_not_vouch_for_another_time(tmp_path: Path) -> None:
    """An old snapshot that somebody copies to a newer name is refused."""

    async def scenario() -> None:
        store = MemoryStore()
        async with opened(tmp_path / "a.db") as database:
            await write_snapshot(database, store, KEY, 1)
        async for name in store.records("snapshots/0000000000000001"):
            last = name.rpartition("/")[2]
            await store.put_record(f"snapshots/{9:016d}/{last}", await store.get_record(name))
        with pytest.raises(UnusableSnapshot, match="another snapshot"):
            await open_snapshot(store, KEY, 9)

    asyncio.run(scenario())
