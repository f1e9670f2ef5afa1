# SPDX-License-Identifier: Apache-2.0
"""What every database engine must do. An engine's own test module subclasses the suite.

`make` gives a new handle on the same database each time it is called within a test, as another
process would have it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest

from moorage.spec.errors import NameUnknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from moorage.db.protocol import Database, Transaction

T = TypeVar("T")

INSERT = "INSERT INTO repositories (name, created_at) VALUES ($1, $2)"
COUNT = "SELECT count(*) FROM repositories"
NAMES = "SELECT name FROM repositories ORDER BY name"


def insert(name: str) -> Callable[[Transaction], Awaitable[int]]:
    """A transaction that makes one repository."""

    async def work(transaction: Transaction) -> int:
        return await transaction.execute(INSERT, name, 1)

    return work


class DatabaseContract:
    """The suite."""

    def make(self) -> Database:
        """A handle on the test's database, not started."""
        raise NotImplementedError

    def run(self, scenario: Callable[[Database], Awaitable[T]]) -> T:
        """Run the scenario on a started database and close it."""

        async def started() -> T:
            database = self.make()
            await database.start()
            try:
                return await scenario(database)
            finally:
                await database.close()

        return asyncio.run(started())

    def test_reads_what_was_committed(self) -> None:
        """A row is there as soon as its transaction has returned."""

        async def scenario(database: Database) -> None:
            assert await database.transaction(insert("a")) == 1
            row = await database.fetch_one("SELECT name FROM repositories WHERE name = $1", "a")
            assert row == ("a",)
            assert await database.fetch_one("SELECT id FROM repositories WHERE name = 'b'") is None

        self.run(scenario)

    def test_values_come_back_as_they_were(self) -> None:
        """Text, bytes, large numbers, nothing and sums have the same Python types everywhere."""
        text, number = "ä€😀 ' \" \\ $1 %s", 2**62
        insert_upload = "INSERT INTO uploads VALUES ($1, $2, 'p', '', $3, '', 0, 0)"
        insert_key = "INSERT INTO signing_keys (name, secret, created_at) VALUES ($1, $2, $3)"

        async def work(transaction: Transaction) -> None:
            await transaction.execute(insert_upload, "a", text, number)
            await transaction.execute(insert_upload, "b", "", 3)
            await transaction.execute(insert_key, "k", bytes(range(256)), -number)

        async def scenario(database: Database) -> None:
            await database.transaction(work)
            row = await database.fetch_one(
                "SELECT repository, received, NULL FROM uploads WHERE session = $1", "a"
            )
            assert row == (text, number, None)
            assert await database.fetch_one("SELECT secret, created_at FROM signing_keys") == (
                bytes(range(256)),
                -number,
            )
            totals = await database.fetch_one("SELECT count(*), sum(received) FROM uploads")
            assert totals == (2, number + 3)
            assert totals is not None
            assert [type(total) for total in totals] == [int, int]

        self.run(scenario)

    def test_changes_say_how_many(self) -> None:
        """`execute` tells how many rows were changed, and RETURNING gives what was asked for."""

        async def work(transaction: Transaction) -> list[object]:
            return [
                await transaction.execute(INSERT + " ON CONFLICT DO NOTHING", "a", 1),
                await transaction.execute(INSERT + " ON CONFLICT DO NOTHING", "a", 1),
                await transaction.fetch_one(INSERT + " RETURNING name, created_at", "b", 2),
                await transaction.execute("UPDATE repositories SET created_at = $1", 3),
                await transaction.fetch_one(INSERT + " RETURNING name", "c", 2),
                sorted(
                    await transaction.fetch_all(
                        "UPDATE repositories SET state = 'x' WHERE created_at > $1 "
                        "RETURNING name, (SELECT 7)",
                        2,
                    )
                ),
                await transaction.execute("DELETE FROM repositories WHERE name = $1", "z"),
                await transaction.execute("DELETE FROM repositories WHERE name <> $1", "a"),
                await transaction.fetch_all(NAMES),
            ]

        async def scenario(database: Database) -> None:
            assert await database.transaction(work) == [
                1,
                0,
                ("b", 2),
                2,
                ("c",),
                [("a", 7), ("b", 7)],
                0,
                2,
                [("a",)],
            ]

        self.run(scenario)

    def test_the_first_of_several_changed_rows_may_be_asked_for(self) -> None:
        """`fetch_one` on a change returns one row and changes all of them."""

        async def work(transaction: Transaction) -> None:
            await transaction.execute_many(INSERT, [("a", 1), ("b", 1), ("c", 1)])
            await transaction.execute_many(INSERT, [])
            row = await transaction.fetch_one("UPDATE repositories SET state = 'x' RETURNING state")
            assert row == ("x",)

        async def scenario(database: Database) -> None:
            await database.transaction(work)
            changed = "SELECT count(*) FROM repositories WHERE state = 'x'"
            assert await database.fetch_one(changed) == (3,)

        self.run(scenario)

    def test_names_compare_bytewise(self) -> None:
        """Upper case comes before lower case and no letter is like another, in any locale."""
        names = ["Z", "a", "a-b", "a/b", "a_b", "aa", "z", "é"]

        async def scenario(database: Database) -> None:
            for name in reversed(names):
                await database.transaction(insert(name), durable=False)
            assert await database.fetch_all(NAMES) == [(name,) for name in names]

        self.run(scenario)

    def test_a_refused_transaction_changes_nothing_and_harms_no_other(self) -> None:
        """Of transactions that run together, one that raises is undone and the others are kept."""

        async def refused(transaction: Transaction) -> None:
            await transaction.execute(INSERT, "refused", 1)
            raise NameUnknown

        async def faulty(transaction: Transaction) -> None:
            await transaction.execute(INSERT, "faulty", 1)
            raise ZeroDivisionError

        async def scenario(database: Database) -> None:
            results = await asyncio.gather(
                database.transaction(insert("before")),
                database.transaction(refused),
                database.transaction(faulty),
                database.transaction(insert("after")),
                return_exceptions=True,
            )

            assert isinstance(results[1], NameUnknown)
            assert isinstance(results[2], ZeroDivisionError)
            assert await database.fetch_all(NAMES) == [("after",), ("before",)]

        self.run(scenario)

    def test_a_broken_rule_of_the_schema_is_the_askers_alone(self) -> None:
        """A constraint that one transaction violates does not undo its neighbors."""

        async def scenario(database: Database) -> None:
            results = await asyncio.gather(
                *(database.transaction(insert(name)) for name in ("a", "a", "b")),
                return_exceptions=True,
            )

            assert sum(isinstance(result, Exception) for result in results) == 1
            assert results[2] == 1
            assert await database.fetch_one(COUNT) == (2,)

        self.run(scenario)

    def test_transactions_read_their_own_changes_and_nobody_else_does(self) -> None:
        """What is not committed is visible inside only."""

        async def scenario(database: Database) -> None:
            async def work(transaction: Transaction) -> None:
                await transaction.execute(INSERT, "a", 1)
                assert await transaction.fetch_one(COUNT) == (1,)
                raise NameUnknown

            with pytest.raises(NameUnknown):
                await database.transaction(work)
            assert await database.fetch_one(COUNT) == (0,)

        self.run(scenario)

    def test_processes_take_turns(self) -> None:
        """Many that write to one database at once all get through, and lose nothing."""

        async def scenario(database: Database) -> None:
            others = [self.make() for _ in range(3)]
            for other in others:
                await other.start()
            await asyncio.gather(
                *(
                    writer.transaction(insert(f"{index}-{turn}"))
                    for turn in range(25)
                    for index, writer in enumerate([database, *others])
                )
            )
            for other in others:
                assert await other.fetch_one(COUNT) == (100,)
                await other.close()

        self.run(scenario)

    def test_no_update_is_lost(self) -> None:
        """Those who read a number and write one more have counted correctly together."""
        read = "SELECT created_at FROM repositories WHERE name = 'counter'"
        write = "UPDATE repositories SET created_at = $1 WHERE name = 'counter'"

        async def count(transaction: Transaction) -> None:
            row = await transaction.fetch_one(read)
            assert row is not None
            await transaction.execute(write, row[0] + 1)

        async def scenario(database: Database) -> None:
            other = self.make()
            await other.start()
            await database.transaction(insert("counter"))
            await asyncio.gather(
                *(each.transaction(count) for _ in range(20) for each in (database, other))
            )
            assert await database.fetch_one(read) == (41,)
            await other.close()

        self.run(scenario)

    def test_two_who_check_first_do_not_both_write(self) -> None:
        """A rule that spans rows holds, although each transaction writes a row of its own."""

        async def scenario(database: Database) -> None:
            other = self.make()
            await other.start()

            async def first_only(transaction: Transaction, name: str) -> bool:
                row = await transaction.fetch_one(COUNT)
                if row != (0,):
                    return False
                await transaction.execute(INSERT, name, 1)
                return True

            def work(name: str) -> Callable[[Transaction], Awaitable[bool]]:
                return lambda transaction: first_only(transaction, name)

            for turn in range(10):
                results = await asyncio.gather(
                    database.transaction(work(f"a{turn}")), other.transaction(work(f"b{turn}"))
                )
                assert sorted(results) == [False, True]
                await database.transaction(_empty)
            await other.close()

        self.run(scenario)

    def test_the_same_row_made_twice_is_made_once(self) -> None:
        """Those who find nothing and then insert meet, and one of them finds the other's row."""

        async def ensure(transaction: Transaction) -> int:
            row = await transaction.fetch_one("SELECT id FROM repositories WHERE name = 'a'")
            row = row or await transaction.fetch_one(INSERT + " RETURNING id", "a", 1)
            assert row is not None
            found: int = row[0]
            return found

        async def scenario(database: Database) -> None:
            found = await asyncio.gather(*(database.transaction(ensure) for _ in range(10)))
            assert len(set(found)) == 1

        self.run(scenario)

    def test_a_cancelled_asker_stops_nobody(self) -> None:
        """Somebody who no longer waits for the result leaves the others as they are."""

        async def scenario(database: Database) -> None:
            leaving = asyncio.create_task(database.transaction(insert("leaving")))
            staying = asyncio.create_task(database.transaction(insert("staying")))
            await asyncio.sleep(0)
            leaving.cancel()

            assert await staying == 1
            assert await database.transaction(insert("next")) == 1

        self.run(scenario)

    def test_closing_waits_for_what_is_under_way(self) -> None:
        """A transaction that nobody waits for any more is finished before the database closes."""

        async def leave() -> None:
            database = self.make()
            await database.start()
            leaving = asyncio.create_task(database.transaction(insert("a")))
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            await database.close()

        async def look(database: Database) -> None:
            assert await database.fetch_one(COUNT) == (1,)

        asyncio.run(leave())
        self.run(look)

    def test_a_view_gives_all_rows_of_a_long_table(self) -> None:
        """Rows come in batches, in the order that was asked for, every one of them."""
        wanted = [f"r{number:04d}" for number in range(1001)]

        async def fill(transaction: Transaction) -> None:
            await transaction.execute_many(INSERT, [(name, 1) for name in wanted])

        async def scenario(database: Database) -> list[list[object]]:
            await database.transaction(fill)
            async with database.view() as view:
                return [[name for (name,) in rows] async for rows in view.rows(NAMES)]

        batches = self.run(scenario)
        assert len(batches) > 1
        assert [name for batch in batches for name in batch] == wanted

    def test_a_view_stands_still(self) -> None:
        """What is written meanwhile is not in a view, however it is read; columns have names."""

        async def scenario(database: Database) -> None:
            for name in ("a", "b"):
                await database.transaction(insert(name))
            async with database.view() as view:
                await database.transaction(insert("c"))
                assert await view.fetch_one(COUNT) == (2,)
                assert await view.fetch_all(NAMES) == [("a",), ("b",)]
                assert (await view.columns("garbage")) == ("key", "not_before")
                rows = [row async for some in view.rows(NAMES) for row in some]
                assert rows == [("a",), ("b",)]
            assert await database.fetch_one(COUNT) == (3,)

        self.run(scenario)

    def test_starting_twice_migrates_once(self) -> None:
        """A database that is up to date is left as it is."""

        async def keeps(database: Database) -> None:
            await database.transaction(insert("kept"))

        async def still_there(database: Database) -> None:
            assert await database.fetch_one(COUNT) == (1,)

        self.run(keeps)
        self.run(still_there)


async def _empty(transaction: Transaction) -> None:
    await transaction.execute("DELETE FROM repositories")
