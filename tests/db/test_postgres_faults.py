# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL in trouble: cut wires, restarts, crashes, locks, conflicts, full disks."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_pool import PostgresOptions
from moorage.spec.errors import InsufficientStorage, Unavailable
from tests.db.contract import COUNT, INSERT, insert
from tests.db.cutting import Moment, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from moorage.db.protocol import Transaction
    from tests.support.postgres import PostgresServer

    Run = Callable[[Callable[[str], Coroutine[None, None, None]]], None]


@asynccontextmanager
async def started(url: str, **patience: float) -> AsyncIterator[PostgresDatabase]:
    """A started database with these time-outs."""
    options = {"connect_seconds": 5.0, "pool_size": 5, **patience}
    database = PostgresDatabase(PostgresOptions(url=url, **options))  # type: ignore[arg-type]
    await database.start()
    try:
        yield database
    finally:
        await database.close()


class Attempts:
    """A transaction that counts how often it was run."""

    def __init__(self, name: str = "a", prelude: str = "") -> None:
        self.count = 0
        self._name = name
        self._prelude = prelude

    async def __call__(self, transaction: Transaction) -> int:
        self.count += 1
        if self._prelude:
            await transaction.execute(self._prelude.replace("ATTEMPT", str(self.count)))
        return await transaction.execute(INSERT, self._name, 1)


@pytest.fixture
def run(postgres_server: PostgresServer, postgres_database: str) -> Run:
    """Runs a scenario with the URL of a fresh database."""
    return lambda scenario: asyncio.run(scenario(postgres_server.url(postgres_database)))


def fails(state: str, attempts: int = 1) -> str:
    """A statement that fails with this error on the first attempts of a transaction."""
    return (
        f"DO $$ BEGIN IF ATTEMPT <= {attempts} THEN "
        f"RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'; END IF; END $$"
    )


@pytest.mark.parametrize("state", ["40001", "40P01", "23505", "57P01"])
def test_what_may_pass_is_tried_again(run: Run, state: str) -> None:
    """A conflict, a deadlock, a race for a name and a server that stops cost another attempt."""

    async def scenario(url: str) -> None:
        work = Attempts(prelude=fails(state, attempts=2))
        async with started(url) as database:
            assert await database.transaction(work) == 1
            assert work.count == 3
            assert await database.fetch_one(COUNT) == (1,)

    run(scenario)


def test_a_rule_that_stays_broken_is_told(run: Run) -> None:
    """A violated constraint is tried a few times and then the asker's error."""

    async def scenario(url: str) -> None:
        async with started(url) as database:
            await database.transaction(insert("a"))
            work = Attempts()
            with pytest.raises(asyncpg.UniqueViolationError):
                await database.transaction(work)
            assert work.count == 3
            assert await database.transaction(insert("b")) == 1

    run(scenario)


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ("53100", InsufficientStorage, "disk that holds the database is full"),
        ("57014", Unavailable, "statementtimeout"),
        ("55P03", Unavailable, "locktimeout"),
        ("53200", Unavailable, "cannot do this at the moment"),
    ],
)
def test_what_does_not_pass_is_said(
    run: Run,
    state: str,
    error: type[Exception],
    message: str,
) -> None:
    """A refusal of the server becomes one that a client understands, after one attempt."""

    async def scenario(url: str) -> None:
        work = Attempts(prelude=fails(state))
        async with started(url) as database:
            with pytest.raises(error, match=message):
                await database.transaction(work)
            assert work.count == 1
            assert await database.fetch_one(COUNT) == (0,)
            assert await database.transaction(insert("b")) == 1

    run(scenario)


@pytest.mark.parametrize(("moment", "attempts"), [("before", 2), ("after", 1)])
def test_a_commit_without_an_answer_is_looked_up(
    postgres_server: PostgresServer, postgres_database: str, moment: Moment, attempts: int
) -> None:
    """What was not committed is done again, and what was committed is not."""

    async def scenario() -> None:
        async with Wire(postgres_server) as wire, started(wire.url(postgres_database)) as database:
            for name, durable in (("a", True), ("b", False)):
                wire.cut(moment)
                work = Attempts(name)
                assert await database.transaction(work, durable=durable) == 1
                assert work.count == attempts
            names = await database.fetch_all("SELECT name FROM repositories ORDER BY name")
            assert names == [("a",), ("b",)]

    asyncio.run(scenario())


def test_a_commit_is_looked_up_whatever_has_changed(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    """Changes by any kind of statement are known, and a transaction without any needs no answer."""

    async def by_returning(transaction: Transaction) -> object:
        return await transaction.fetch_one(INSERT + " RETURNING name", "a", 1)

    async def by_many(transaction: Transaction) -> object:
        await transaction.execute_many(INSERT, [("b", 1), ("c", 1)])
        return "many"

    async def by_query(transaction: Transaction) -> object:
        sql = (
            "WITH gone AS (DELETE FROM repositories WHERE name = $1 RETURNING name) "
            "INSERT INTO garbage SELECT name, 1 FROM gone RETURNING key"
        )
        return await transaction.fetch_all(sql, "a")

    async def by_nothing(transaction: Transaction) -> object:
        return await transaction.execute("DELETE FROM repositories WHERE name = $1", "z")

    async def scenario() -> None:
        async with Wire(postgres_server) as wire, started(wire.url(postgres_database)) as database:
            results = []
            for work in (by_returning, by_many, by_query, by_nothing):
                wire.cut("after")
                results.append(await database.transaction(work))
            assert results == [("a",), "many", [("a",)], 0]
            # Only the one that changed nothing was simply run again.
            assert wire.commits == 5
            assert await database.fetch_one(COUNT) == (2,)

    asyncio.run(scenario())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_in_the_middle_of_a_commit_is_never_guessed(
    postgres_server: PostgresServer, postgres_database: str, moment: Moment
) -> None:
    """After a crash a number may be somebody else's: the asker hears of success only if it is."""

    async def crash() -> None:
        await asyncio.to_thread(postgres_server.crash)
        await asyncio.to_thread(postgres_server.start)

    async def scenario() -> None:
        async with Wire(postgres_server) as wire, started(wire.url(postgres_database)) as database:
            await database.transaction(insert("other"))
            wire.cut(moment, meanwhile=crash)
            work = Attempts()
            (result,) = await asyncio.gather(database.transaction(work), return_exceptions=True)
            if isinstance(result, Unavailable):
                assert "whether the change was made cannot be known" in str(result)
                expected = 1 if moment == "before" else 2
            else:
                # The server had written down the number, so it is known to have been in vain.
                assert (moment, work.count, result) == ("before", 2, 1)
                expected = 2
            assert await database.fetch_one(COUNT) == (expected,)
            assert await database.transaction(insert("next")) == 1

    asyncio.run(scenario())


def test_a_restart_is_survived(postgres_server: PostgresServer, postgres_database: str) -> None:
    """While the server restarts, whatever was acknowledged is kept, and afterwards all works."""

    async def scenario() -> None:
        url = postgres_server.url(postgres_database)
        kept: list[str] = []
        errors: list[BaseException] = []
        ended = asyncio.Event()
        async with started(url, pool_size=4) as database:

            async def write(writer: int) -> None:
                number = 0
                while not ended.is_set():
                    number += 1
                    try:
                        await database.transaction(insert(f"{writer}-{number}"))
                        await database.fetch_one(COUNT)
                    except Exception as error:  # noqa: BLE001 (looked at below)
                        errors.append(error)
                    else:
                        kept.append(f"{writer}-{number}")

            writing = [asyncio.create_task(write(writer)) for writer in range(6)]
            for end in (postgres_server.stop, postgres_server.crash):
                await asyncio.sleep(0.2)
                await asyncio.to_thread(end)
                await asyncio.to_thread(postgres_server.start)
            await asyncio.sleep(0.2)
            ended.set()
            await asyncio.gather(*writing)
            there = {name for (name,) in await database.fetch_all("SELECT name FROM repositories")}
            assert kept
            assert set(kept) <= there
            assert [error for error in errors if not isinstance(error, Unavailable)] == []

    asyncio.run(scenario())


def test_a_server_that_is_away_is_said_in_time(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    """Readers and writers are told to come back, and are served when the server is there again."""

    async def scenario() -> None:
        url = postgres_server.url(postgres_database)
        async with started(url, connect_seconds=0.5, pool_size=2) as database:
            assert await database.fetch_one(COUNT) == (0,)
            await asyncio.to_thread(postgres_server.stop)
            try:
                refusals = await asyncio.gather(
                    *(database.fetch_one(COUNT) for _ in range(5)),
                    *(database.transaction(insert("a")) for _ in range(5)),
                    return_exceptions=True,
                )
            finally:
                await asyncio.to_thread(postgres_server.start)
            for refusal in refusals:
                assert isinstance(refusal, Unavailable)
                assert dict(refusal.headers)["Retry-After"]
                assert str(refusal) == "the database cannot be reached at the moment"
                assert "is it running" in str(refusal.__cause__)
            assert await database.transaction(insert("b")) == 1

    asyncio.run(scenario())


def test_everybody_gets_a_connection_or_an_answer(run: Run) -> None:
    """When all connections are busy for too long, who waits is told so."""

    async def scenario(url: str) -> None:
        async with started(url, pool_size=1, connect_seconds=0.3) as database:
            sleeping = asyncio.create_task(database.fetch_one("SELECT pg_sleep(1)"))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match=r"all 1 connections .* were busy for 0.3 s"):
                await database.fetch_one(COUNT)
            await sleeping
            assert await database.fetch_one(COUNT) == (0,)

    run(scenario)


def test_statements_and_locks_have_an_end(run: Run) -> None:
    """What takes too long is given up by the server, and the connection is used again."""

    async def scenario(url: str) -> None:
        blocker = await asyncpg.connect(url)
        patience = {"statement_seconds": 0.5, "lock_seconds": 0.2}
        async with started(url, pool_size=1, **patience) as database:
            with pytest.raises(Unavailable, match="statementtimeout"):
                await database.fetch_one("SELECT pg_sleep(5)")
            await blocker.execute("BEGIN; LOCK TABLE repositories")
            with pytest.raises(Unavailable, match="locktimeout"):
                await database.transaction(insert("a"))
            await blocker.close()
            assert await database.transaction(insert("a")) == 1
            assert await database.fetch_one("SELECT 1") == (1,)

    run(scenario)


def test_a_server_that_hangs_is_given_up(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    """When no answer comes at all, who asks hears of it, and is served when answers come again."""

    async def scenario() -> None:
        patience = {"statement_seconds": 0.1, "connect_seconds": 0.5, "pool_size": 2}
        async with (
            Wire(postgres_server) as wire,
            started(wire.url(postgres_database), **patience) as database,
        ):
            assert await database.fetch_one(COUNT) == (0,)
            wire.is_silent = True
            with pytest.raises(Unavailable, match="did not answer within"):
                await database.fetch_one(COUNT)
            with pytest.raises(Unavailable, match="cannot be reached") as told:
                await database.transaction(insert("a"))
            assert "connecttimeout" in str(told.value.__cause__)
            wire.is_silent = False
            assert await database.transaction(insert("b")) == 1

    asyncio.run(scenario())


def test_durability_is_asked_for_each_transaction(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    """A durable transaction waits for the disk whatever the role's default is, others do not."""

    async def how(transaction: Transaction) -> object:
        return await transaction.fetch_one("SELECT current_setting('synchronous_commit')")

    async def scenario() -> None:
        url = postgres_server.url(postgres_database)
        async with started(url) as database:
            assert await database.transaction(how) == ("on",)
            assert await database.transaction(how, durable=False) == ("off",)
            assert await database.transaction(how) == ("on",)
        default = "ALTER DATABASE {} SET synchronous_commit = {}"
        postgres_server.run_sql(default.format(postgres_database, "off"))
        async with started(url) as database:
            assert await database.transaction(how) == ("on",)
        postgres_server.run_sql(default.format(postgres_database, "remote_apply"))
        async with started(url) as database:
            assert await database.transaction(how) == ("remote_apply",)

    asyncio.run(scenario())


def test_a_deadlock_is_resolved(run: Run) -> None:
    """Two transactions that wait for each other both succeed in the end."""
    update = "UPDATE repositories SET created_at = created_at + 1 WHERE name = $1"

    def both(first: str, second: str) -> Callable[[Transaction], Awaitable[None]]:
        async def work(transaction: Transaction) -> None:
            await transaction.execute(update, first)
            await transaction.fetch_one("SELECT pg_sleep(0.05)")
            await transaction.execute(update, second)

        return work

    async def scenario(url: str) -> None:
        async with started(url) as database:
            for name in "ab":
                await database.transaction(insert(name))
            await asyncio.gather(
                database.transaction(both("a", "b")), database.transaction(both("b", "a"))
            )
            rows = await database.fetch_all("SELECT created_at FROM repositories")
            assert rows == [(3,), (3,)]

    run(scenario)


def test_readers_who_leave_take_no_connection_with_them(run: Run) -> None:
    """A cancelled read gives its place back at once."""

    async def scenario(url: str) -> None:
        async with started(url, pool_size=1, connect_seconds=2.0) as database:
            for _ in range(3):
                reading = asyncio.create_task(database.fetch_one("SELECT pg_sleep(60)"))
                await asyncio.sleep(0.1)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            begun = time.monotonic()
            assert await database.fetch_one("SELECT 1") == (1,)
            assert time.monotonic() - begun < 30

    run(scenario)
