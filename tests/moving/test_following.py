# SPDX-License-Identifier: Apache-2.0
"""Who serves while the catalogue moves: reads are never old, writes wait and arrive, once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from moorage.db import moving
from moorage.db.following import FollowingSign, strangers
from moorage.db.moving import MovingDatabase
from moorage.db.moving_marks import MARKS, CatalogueFrozen
from moorage.db.moving_source import MovingSource
from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_pool import PostgresOptions
from moorage.db.sqlite import SQLiteDatabase
from moorage.spec.errors import Unavailable
from moorage.transfer.moving_ends import abort_catalogue_move
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from moorage.db.protocol import Transaction
    from tests.moving.catalogues import Catalogue, Move
    from tests.support.postgres import PostgresServer

_INSERT = "INSERT INTO garbage (key, not_before) VALUES ($1, 1)"
_KEYS = "SELECT key FROM garbage ORDER BY key"


@asynccontextmanager
async def following(
    path: Path, url: str, moved: Callable[[], None] = lambda: None
) -> AsyncIterator[MovingDatabase]:
    """A process's database."""
    postgres = PostgresDatabase(PostgresOptions(url=url), arriving=True)
    database = MovingDatabase(path, SQLiteDatabase(path), postgres, moved)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


def insert(key: str) -> Callable[[Transaction], Awaitable[int]]:
    """A change."""

    async def work(transaction: Transaction) -> int:
        return await transaction.execute(_INSERT, key)

    return work


async def is_there(database: MovingDatabase, key: str) -> bool:
    """Whether a change is seen, through one way to read or the other."""
    if random.random() < 0.5:
        return await database.fetch_one("SELECT 1 FROM garbage WHERE key = $1", key) is not None
    return (key,) in await database.fetch_all(_KEYS)


def test_follows_in_the_same_moment(move: Move) -> None:
    """Before the mark the file is read and written, right after it PostgreSQL, by every process."""
    told: list[int] = []

    async def scenario() -> None:
        path = move.catalogue.path
        async with (
            following(path, move.url, lambda: told.append(1)) as one,
            following(path, move.url) as other,
        ):
            await one.transaction(insert("a"))
            assert await other.fetch_all(_KEYS) == [("a",)]
            assert told == []

            await move.moving()
            assert await other.fetch_all(_KEYS) == [("a",)]
            await one.transaction(insert("b"))
            assert await other.fetch_one("SELECT 1 FROM garbage WHERE key = 'b'") == (1,)
            async with other.view() as view:
                assert await view.fetch_all(_KEYS) == [("a",), ("b",)]
            assert told == [1]
        async with following(path, move.url) as again:
            assert await again.fetch_all(_KEYS) == [("a",), ("b",)]

    asyncio.run(scenario())
    assert move.catalogue.rows()["garbage"] == [("a", 1)]


def test_what_was_acknowledged_is_seen_by_every_process(move: Move) -> None:
    """During a move, whatever one process has acknowledged the others see, and it arrives.

    Four processes' databases write and read without a pause; each acknowledged change is looked
    for at once through another one.
    """
    acknowledged: set[str] = set()
    done = asyncio.Event()

    async def client(number: int, databases: list[MovingDatabase]) -> None:
        count = 0
        while not done.is_set() or count < 20:
            count += 1
            key = f"{number}-{count}"
            writer, reader = random.sample(databases, 2)
            await writer.transaction(insert(key), durable=random.random() < 0.3)
            acknowledged.add(key)
            assert await is_there(reader, key), f"{key} is not seen"

    async def scenario() -> None:
        path = move.catalogue.path
        async with (
            following(path, move.url) as a,
            following(path, move.url) as b,
            following(path, move.url) as c,
            following(path, move.url) as d,
        ):
            clients = [asyncio.create_task(client(n, [a, b, c, d])) for n in range(6)]
            await asyncio.sleep(0.05)
            await asyncio.to_thread(move.run)
            await asyncio.sleep(0.1)
            done.set()
            await asyncio.gather(*clients)

    asyncio.run(scenario())

    rows = move.rows()["garbage"]
    assert {key for key, _ in rows} == acknowledged
    assert len(rows) == len(acknowledged)


def test_a_write_waits_for_the_end_of_a_freeze(move: Move) -> None:
    """While the file is frozen writes wait and reads go on; when it thaws they are done."""

    async def scenario() -> None:
        path = move.catalogue.path
        with closing(MovingSource(path)) as source:
            async with following(path, move.url) as database:
                source.begin("one", source.tables())
                source.freeze("one")
                writes = [asyncio.create_task(database.transaction(insert(k))) for k in "abc"]
                await asyncio.sleep(0.1)
                assert not any(write.done() for write in writes)
                assert await database.fetch_all(_KEYS) == []
                source.thaw("one")
                assert await asyncio.gather(*writes) == [1, 1, 1]
                assert await database.fetch_all(_KEYS) == [("a",), ("b",), ("c",)]

    asyncio.run(scenario())


def test_a_tool_that_died_in_its_freeze_stops_nobody_for_long(move: Move) -> None:
    """The freeze of a dead tool ends by itself, and the writes that waited are done."""

    async def scenario() -> None:
        path = move.catalogue.path
        with closing(MovingSource(path)) as source:
            source.begin("one", source.tables())
        async with following(path, move.url) as database:
            with closing(move.catalogue.connect()) as dead:
                dead.execute(
                    f"UPDATE {MARKS} SET frozen_until = CAST(strftime('%s', 'now') AS INTEGER) + 2"
                )
            assert await database.transaction(insert("a")) == 1
            assert await database.fetch_all(_KEYS) == [("a",)]

    asyncio.run(scenario())


def test_a_freeze_without_end_is_told(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has waited long enough is sent away with 503 and told to come back."""
    monkeypatch.setattr(moving, "PATIENCE_SECONDS", -1.0)

    async def scenario() -> None:
        path = move.catalogue.path
        with closing(MovingSource(path)) as source:
            source.begin("one", source.tables())
            async with following(path, move.url) as database:
                source.freeze("one")
                with pytest.raises(CatalogueFrozen) as refusal:
                    await database.transaction(insert("a"))
                assert refusal.value.status == 503
                assert "Retry-After" in dict(refusal.value.headers)

    asyncio.run(scenario())


def test_a_transaction_that_changes_nothing_is_not_old(
    move: Move, postgres_server: PostgresServer
) -> None:
    """Work that only looks, inside a transaction, sees PostgreSQL once the file is marked.

    No trigger would stop it: it was queued before the mark and gets its turn after it.
    """
    name = move.url.rpartition("/")[2]

    def die(part: str) -> None:
        if part.startswith("catching up"):
            raise RuntimeError(part)

    async def look(transaction: Transaction) -> list[tuple[object, ...]]:
        return await transaction.fetch_all(_KEYS)

    async def scenario() -> None:
        path = move.catalogue.path
        async with following(path, move.url) as database:
            move.meddle = die
            with pytest.raises(RuntimeError):
                await move.moving()
            with closing(move.catalogue.connect()) as holder:
                holder.execute("BEGIN IMMEDIATE")
                looking = asyncio.create_task(database.transaction(look))
                await asyncio.sleep(0.1)
                holder.execute(f"UPDATE {MARKS} SET moved_at = 1, moved_to = 'x'")
                holder.execute("COMMIT")
            # Somebody else has followed at once and was acknowledged.
            postgres_server.run_sql("INSERT INTO garbage VALUES ('new', 1)", database=name)
            assert await looking == [("new",)]

    asyncio.run(scenario())


def test_another_postgres_is_refused(move: Move, postgres_server: PostgresServer) -> None:
    """A registry whose database.postgres is not the one the catalogue went to serves nothing."""
    name = postgres_server.new_database()
    other = postgres_server.url(name)

    async def scenario() -> None:
        path = move.catalogue.path
        async with following(path, other) as database:
            await move.moving()
            with pytest.raises(Unavailable, match="another database"):
                await database.fetch_all(_KEYS)
            with pytest.raises(Unavailable, match="another database"):
                await database.transaction(insert("a"))
        with pytest.raises(Unavailable, match="another database"):
            async with following(path, other):
                pass

    try:
        asyncio.run(scenario())
    finally:
        postgres_server.drop(name)


def test_the_file_may_be_removed_after_the_move(move: Move) -> None:
    """A registry that still names the file starts without it when PostgreSQL has everything."""

    async def scenario() -> None:
        async with following(move.catalogue.path, move.url) as database:
            assert len(await database.fetch_all("SELECT id FROM tags")) == move.catalogue.made

    path = move.catalogue.path
    kept = path.rename(path.with_name("elsewhere"))
    with pytest.raises(Unavailable, match="which is missing"):
        asyncio.run(scenario())
    kept.rename(path)
    move.run()
    path.unlink()

    asyncio.run(scenario())


def test_a_tool_that_died_after_the_mark_is_finished_by_who_follows(move: Move) -> None:
    """The mark alone decides: the registry follows, and PostgreSQL may then be named alone."""

    def die(part: str) -> None:
        if part == "finishing":
            raise RuntimeError(part)

    move.meddle = die
    with pytest.raises(RuntimeError):
        move.run()

    async def scenario() -> None:
        alone = PostgresDatabase(PostgresOptions(url=move.url))
        with pytest.raises(Unavailable, match="still being moved"):
            await alone.start()
        async with following(move.catalogue.path, move.url) as database:
            await database.transaction(insert("a"))
        await alone.start()
        assert await alone.fetch_all(_KEYS) == [("a",)]
        await alone.close()

    asyncio.run(scenario())
    move.meddle = lambda _: None
    assert move.run().was_moved
    assert move.rows()["garbage"] == [("a", 1)]


def test_one_file_is_moved_by_one_tool(catalogue: Catalogue) -> None:
    """A second tool on the same file is refused, whichever PostgreSQL it leads to."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from moorage.db.following import only_move\n"
        "with only_move(Path(sys.argv[1])):\n"
        "    print(flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(catalogue.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        FollowingSign(catalogue.path).take_down()
        with pytest.raises(CannotTransfer, match="is running"):
            asyncio.run(abort_catalogue_move(catalogue.path, None))
        other.communicate(b"")
    assert "name an empty database" in asyncio.run(abort_catalogue_move(catalogue.path, None))


def test_finds_who_would_not_follow(catalogue: Catalogue) -> None:
    """A process that has the file open without the sign of those who follow is named."""
    program = (
        "import sqlite3, sys\n"
        "from pathlib import Path\n"
        "from moorage.db.following import FollowingSign\n"
        "path = Path(sys.argv[1])\n"
        "connection = sqlite3.connect(path)\n"
        "connection.execute('SELECT * FROM tags').fetchone()\n"
        "sign = FollowingSign(path) if sys.argv[2] == 'follow' else None\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(catalogue.path), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for how in ("follow", "stay")
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        with closing(MovingSource(catalogue.path)) as source:
            assert source.count(source.tables()[0])
            if not Path("/proc/locks").exists():
                pytest.skip("the kernel does not list locks (/proc/locks)")
            assert strangers(catalogue.path) == [processes[1].pid]
            sign = FollowingSign(catalogue.path)
            sign.take_down()
    finally:
        for process in processes:
            process.communicate(b"")
