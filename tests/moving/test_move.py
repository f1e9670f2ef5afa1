# SPDX-License-Identifier: Apache-2.0
"""A whole move into a real PostgreSQL: everything arrives, whatever happens on the way."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from moorage.db.moving_marks import MARKS
from moorage.db.moving_source import MovingSource
from moorage.db.moving_target import MovingTarget, connect_target
from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_pool import PostgresOptions
from moorage.spec.errors import Unavailable
from moorage.transfer.moving_catalogue import SWITCH_ATTEMPTS, abort_move
from moorage.transfer.report import CannotTransfer
from tests.moving.catalogues import Catalogue, Move

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer


class Died(Exception):
    """The tool ends here."""


def start_postgres(url: str) -> None:
    """Do what a registry does that knows only PostgreSQL."""

    async def start() -> None:
        database = PostgresDatabase(PostgresOptions(url=url))
        await database.start()
        await database.close()

    asyncio.run(start())


def abort(move: Move) -> None:
    """End the move."""

    async def ending() -> None:
        with closing(MovingSource(move.catalogue.path)) as source:
            target = await connect_target(PostgresOptions(url=move.url), source.tables())
            try:
                await abort_move(source, target)
            finally:
                await target.close()

    asyncio.run(ending())


def test_everything_arrives(move: Move) -> None:
    """All rows, the whole schema and the next numbers are in PostgreSQL; both sides are marked."""
    schema, rows = move.schema(), move.catalogue.rows()

    report = move.run()

    assert move.rows() == move.catalogue.rows() == rows
    assert move.schema() == schema
    assert report.rows == {name: len(found) for name, found in rows.items()}
    with closing(MovingSource(move.catalogue.path)) as source:
        assert source.mark is not None
    start_postgres(move.url)


def test_new_rows_get_numbers_that_were_never_given(move: Move) -> None:
    """Numbers go on after the highest that SQLite has ever given, even to a row that is gone."""
    with closing(move.catalogue.connect()) as writer:
        writer.execute("INSERT INTO events VALUES (500, '', 1, '', '', NULL, NULL, '')")
        writer.execute("DELETE FROM events WHERE seq = 500")
    move.run()

    async def insert() -> list[object]:
        database = PostgresDatabase(PostgresOptions(url=move.url))
        await database.start()
        try:
            return [
                await database.fetch_all(
                    "INSERT INTO events (id, at, actor, action, detail) "
                    "VALUES ('', 1, '', '', '') RETURNING seq"
                ),
                await database.fetch_all(
                    "INSERT INTO repositories (name, created_at) VALUES ('x', 1) RETURNING id"
                ),
            ]
        finally:
            await database.close()

    assert asyncio.run(insert()) == [[(501,)], [(2,)]]


def test_changes_at_any_time_arrive(move: Move) -> None:
    """Rows that come, move and go during every part of the move are in PostgreSQL as in the file.

    Tags move, which leaves two rows that must not both be open; images go with all their rows.
    """
    catalogue = move.catalogue
    with closing(catalogue.connect()) as writer:

        def meddle(part: str) -> None:
            catalogue.push(writer)
            catalogue.tag(writer, "v3", f"moved during {part}")
            writer.execute("UPDATE blobs SET touched_at = touched_at + 1 WHERE size = 5")
            if part.startswith(("copying", "comparing")):
                catalogue.forget(writer, 1 + catalogue.made % 30)

        move.meddle = lambda part: None if part == "finishing" else meddle(part)
        schema = move.schema()
        report = move.run()

    assert move.rows() == catalogue.rows()
    assert move.schema() == schema
    assert report.changes > 100


def test_batches_do_not_matter(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of many batches and rounds of many pieces arrive whole."""
    monkeypatch.setattr("moorage.db.moving_source.BATCH_ROWS", 7)
    monkeypatch.setattr("moorage.db.moving_source.PRUNED_AT_A_TIME", 5)
    monkeypatch.setattr("moorage.db.moving_target._KEYS_AT_A_TIME", 3)
    monkeypatch.setattr("moorage.transfer.moving_catalogue.MANY_CHANGES", 10)

    test_changes_at_any_time_arrive(move)


@pytest.mark.parametrize(
    "part",
    ["copying repositories", "copying tags", "making indexes", "comparing tags", "catching up"],
)
def test_goes_on_where_it_was_interrupted(move: Move, part: str) -> None:
    """After an end in any part another run goes on, and takes along what came in between."""

    def die(now: str) -> None:
        if now.startswith(part):
            raise Died

    schema = move.schema()
    move.meddle = die
    with pytest.raises(Died):
        move.run()
    with closing(move.catalogue.connect()) as writer:
        move.catalogue.forget(writer, 2)
        move.catalogue.push(writer)
    with pytest.raises(Unavailable, match=r"database\.previous\.sqlite\.path until"):
        start_postgres(move.url)

    move.meddle = lambda _: None
    move.run()

    assert move.rows() == move.catalogue.rows()
    assert move.schema() == schema


def test_begins_again_after_the_machine_went_down(move: Move) -> None:
    """What SQLite has lost in a power cut, after it was copied, is not in PostgreSQL in the end."""
    with closing(move.catalogue.connect()) as writer:
        move.catalogue.push(writer)
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        def die(part: str) -> None:
            if part == "comparing tags":
                raise Died

        move.meddle = die
        with pytest.raises(Died):
            move.run()
        identity = writer.execute(f"SELECT * FROM {MARKS}").fetchone()
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(move.catalogue.connect()) as writer:
        # The last push is undone behind the triggers, as a power cut does it.
        triggers = writer.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            writer.execute(f'DROP TRIGGER "{name}"')
        move.catalogue.forget(writer, move.catalogue.made)
        for _, sql in triggers:
            writer.execute(sql)
        assert writer.execute(f"SELECT * FROM {MARKS}").fetchone() == identity

    move.meddle, move.boot = lambda _: None, "another boot"
    move.run()

    assert move.rows() == move.catalogue.rows()


def test_finds_what_is_different(move: Move, postgres_server: PostgresServer) -> None:
    """A row that somebody changed in PostgreSQL ends the move, and the file stays the truth."""
    database = move.url.rpartition("/")[2]

    def spoil(part: str) -> None:
        if part == "comparing tags":
            postgres_server.run_sql("UPDATE tags SET actor = 'x' WHERE id = 9", database=database)

    move.meddle = spoil
    with pytest.raises(CannotTransfer, match=r"the row \(9,\) of tags; nothing was switched"):
        move.run()

    with closing(move.catalogue.connect()) as writer:
        move.catalogue.push(writer)


def test_refuses_a_database_that_is_in_use(move: Move, postgres_server: PostgresServer) -> None:
    """A PostgreSQL with a catalogue is not touched, nor is the file."""
    database = move.url.rpartition("/")[2]
    postgres_server.run_sql(
        "INSERT INTO repositories (name, created_at) VALUES ('a', 1)", database=database
    )
    schema = move.catalogue.schema()

    with pytest.raises(CannotTransfer, match="already holds a catalogue"):
        move.run()

    assert move.catalogue.schema() == schema
    assert postgres_server.run_sql("SELECT name FROM repositories", database=database) == "a"


def test_refuses_a_database_of_another_move(move: Move, tmp_path: Path) -> None:
    """Two catalogues cannot be moved into one database, whether the first has arrived or not."""
    other = Catalogue(tmp_path / "other.db")
    other.make(1)
    second = Move(other, move.url)

    def die(part: str) -> None:
        if part == "comparing tags":
            raise Died

    move.meddle = die
    with pytest.raises(Died):
        move.run()
    with pytest.raises(CannotTransfer, match="another move"):
        second.run()
    with pytest.raises(CannotTransfer, match="another move"):
        abort(second)
    move.meddle = lambda _: None
    move.run()
    with pytest.raises(CannotTransfer, match="another move"):
        second.run()
    assert move.rows() == move.catalogue.rows()


def test_moving_again_says_that_it_is_done(move: Move) -> None:
    """A second run changes nothing and says so; it finishes what the first could not."""
    move.run()
    rows = move.rows()

    assert move.run().was_moved
    assert move.rows() == rows
    with pytest.raises(CannotTransfer, match="moved already"):
        abort(move)


@pytest.mark.parametrize("part", ["copying tags", "making indexes", "catching up"])
def test_an_aborted_move_leaves_nothing(move: Move, part: str) -> None:
    """After --abort both sides are as before, and another move can begin."""
    before = move.schema(), move.catalogue.schema(), move.catalogue.rows()

    def die(now: str) -> None:
        if now.startswith(part):
            raise Died

    move.meddle = die
    with pytest.raises(Died):
        move.run()
    abort(move)

    assert (move.schema(), move.catalogue.schema(), move.catalogue.rows()) == before
    assert not any(move.rows().values())
    move.meddle = lambda _: None
    move.run()
    assert move.rows() == move.catalogue.rows()


class Slow(MovingTarget):
    """PostgreSQL, with somebody who gets in between the last round and the mark."""

    catalogue: Catalogue
    intrusions: int = 1

    async def number_on(self, numbers: dict[str, int]) -> None:
        """The tool is stopped here for longer than the freeze lasts, and a push comes."""
        await super().number_on(numbers)
        if self.intrusions:
            self.intrusions -= 1
            with closing(self.catalogue.connect()) as writer:
                writer.execute(f"UPDATE {MARKS} SET frozen_until = 1")
                self.catalogue.push(writer)


def slow(move: Move, intrusions: int) -> None:
    """Let so many pushes get in between."""

    def wrap(target: MovingTarget) -> MovingTarget:
        target.__class__ = Slow
        assert isinstance(target, Slow)
        target.catalogue, target.intrusions = move.catalogue, intrusions
        return target

    move.wrapped = wrap


def test_a_tool_that_slept_through_its_freeze_loses_nothing(move: Move) -> None:
    """What was pushed after the freeze ran out is moved with the next attempt."""
    slow(move, 2)

    move.run()

    assert move.rows() == move.catalogue.rows()
    assert len(move.rows()["tags"]) == move.catalogue.made == 42


def test_a_tool_that_always_sleeps_gives_up(move: Move) -> None:
    """After some attempts the file stays the truth and takes changes."""
    slow(move, SWITCH_ATTEMPTS)

    with pytest.raises(CannotTransfer, match="quieter hour"):
        move.run()

    with closing(move.catalogue.connect()) as writer:
        move.catalogue.push(writer)
    with closing(MovingSource(move.catalogue.path)) as source:
        assert source.mark is None


def test_a_failure_in_the_freeze_thaws_the_file(move: Move) -> None:
    """When PostgreSQL fails after the freeze, the registry goes on with the file at once."""
    with closing(move.catalogue.connect()) as writer:

        def wrap(target: MovingTarget) -> MovingTarget:
            async def number_on(_: dict[str, int]) -> None:
                raise ConnectionResetError("lost")

            target.number_on = number_on  # type: ignore[assignment,method-assign]
            return target

        move.wrapped = wrap
        with pytest.raises(CannotTransfer, match="lost"):
            move.run()
        move.catalogue.push(writer)

    move.wrapped = lambda target: target
    move.run()
    assert move.rows() == move.catalogue.rows()


def test_two_tools_do_not_move_at_once(move: Move) -> None:
    """A second run while the first is at it is refused."""
    refused = []

    async def second() -> None:
        with closing(MovingSource(move.catalogue.path)) as source:
            target = await connect_target(PostgresOptions(url=move.url), source.tables())
            try:
                await target.lock()
            except Exception as error:  # noqa: BLE001 (looked at below)
                refused.append(str(error))
            finally:
                await target.close()

    async def both() -> None:
        with closing(MovingSource(move.catalogue.path)) as source:
            target = await connect_target(PostgresOptions(url=move.url), source.tables())
            await target.lock()
            await second()
            await target.close()

    asyncio.run(both())
    assert ["is running" in text for text in refused] == [True]
