# SPDX-License-Identifier: Apache-2.0
"""The SQLite side of a move: every change is captured, a freeze holds and ends, a mark is final."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from moorage.db.moving_marks import MARKS, CatalogueFrozen, read_mark
from moorage.db.moving_source import MarkRefused, MovingSource, NotMovable
from moorage.db.sqlite import SQLiteDatabase
from moorage.db.tables import schema_version, table_names
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moorage.db.protocol import Transaction
    from tests.moving.catalogues import Catalogue


@pytest.fixture
def source(catalogue: Catalogue) -> Iterator[MovingSource]:
    """The catalogue, captured."""
    with closing(MovingSource(catalogue.path)) as source:
        source.begin("one", source.tables())
        yield source


@pytest.fixture
def writer(catalogue: Catalogue) -> Iterator[sqlite3.Connection]:
    """A registry's connection."""
    with closing(catalogue.connect()) as connection:
        yield connection


def test_knows_every_table_of_the_schema(source: MovingSource) -> None:
    """The tables that are moved are those of the migrations, each with its primary key."""
    tables = {table.name: table for table in source.tables()}

    assert set(tables) == set(table_names())
    assert tables["extents"].key == ("digest", "ordinal")
    assert tables["manifests"].key == ("id",)


def test_captures_inserts_updates_and_deletes(
    source: MovingSource, writer: sqlite3.Connection
) -> None:
    """The key of each changed row is captured once, a changed key with the old one too."""
    writer.execute("INSERT INTO garbage VALUES ('new \"\\ ü', 1)")
    writer.execute("UPDATE garbage SET not_before = 2")
    writer.execute("UPDATE garbage SET key = 'other'")
    writer.execute("DELETE FROM extents WHERE digest = (SELECT min(digest) FROM extents)")

    changes = source.changes(0)

    assert set(changes.keys["garbage"]) == {('new "\\ ü',), ("other",)}
    ((digest, ordinal),) = changes.keys["extents"]
    assert (str(digest)[:7], ordinal) == ("sha256:", 0)
    assert changes.last == source.backlog(0) == 5


def test_an_undone_change_is_not_captured(source: MovingSource, writer: sqlite3.Connection) -> None:
    """What is rolled back leaves no trace among the changes."""
    writer.execute("BEGIN")
    writer.execute("INSERT INTO garbage VALUES ('x', 1)")
    writer.execute("ROLLBACK")

    assert len(source.changes(0)) == 0


def test_forgets_what_is_applied(source: MovingSource, writer: sqlite3.Connection) -> None:
    """Captured changes are pruned, and numbers are never given twice."""
    writer.execute("INSERT INTO garbage VALUES ('x', 1)")
    last = source.changes(0).last
    source.forget_changes(last)
    assert source.changes(last).last == last

    writer.execute("INSERT INTO garbage VALUES ('y', 1)")
    assert source.changes(last).keys == {"garbage": [("y",)]}


def test_a_frozen_file_takes_no_change_until_it_thaws(
    source: MovingSource, writer: sqlite3.Connection
) -> None:
    """Every kind of change of every table is refused; reading is not."""
    source.freeze("one")
    for table in source.tables():
        if source.count(table):
            with pytest.raises(sqlite3.IntegrityError, match="being moved"):
                writer.execute(f"DELETE FROM {table.name}")
    with pytest.raises(sqlite3.IntegrityError, match="being moved"):
        writer.execute("UPDATE tags SET actor = 'x'")
    with pytest.raises(sqlite3.IntegrityError, match="being moved"):
        writer.execute("INSERT INTO garbage VALUES ('x', 1)")
    assert len(source.changes(0)) == 0

    source.thaw("one")
    writer.execute("INSERT INTO garbage VALUES ('x', 1)")


@pytest.mark.parametrize("lease", ["-1", "+ 3600"])
def test_a_freeze_ends_by_itself(
    source: MovingSource, writer: sqlite3.Connection, lease: str
) -> None:
    """A freeze whose time is over refuses nothing; nor does one that a clock set back prolongs."""
    source.freeze("one")
    writer.execute(
        f"UPDATE {MARKS} SET frozen_until = CAST(strftime('%s', 'now') AS INTEGER) {lease}"
    )

    writer.execute("INSERT INTO garbage VALUES ('x', 1)")


def test_the_mark_is_refused_after_any_change(
    source: MovingSource, writer: sqlite3.Connection
) -> None:
    """A tool that slept through its freeze cannot set the mark over what was written meanwhile."""
    source.freeze("one")
    writer.execute(f"UPDATE {MARKS} SET frozen_until = 1")  # as if it had slept
    writer.execute("INSERT INTO garbage VALUES ('x', 1)")

    with pytest.raises(MarkRefused):
        source.set_mark("one", 0, schema_version(), "PostgreSQL")

    assert source.mark is None
    source.set_mark("one", 1, schema_version(), "PostgreSQL")
    assert source.mark is not None


def test_the_mark_belongs_to_its_move(source: MovingSource) -> None:
    """Neither a move that was aborted nor another schema can be marked."""
    with pytest.raises(NotMovable, match="schema"):
        source.set_mark("one", 0, schema_version() - 1, "PostgreSQL")
    source.abort()
    source.begin("two", source.tables())

    with pytest.raises(NotMovable, match="somebody else"):
        source.set_mark("one", 0, schema_version(), "PostgreSQL")
    with pytest.raises(NotMovable, match="somebody else"):
        source.freeze("one")


def test_a_moved_file_is_never_changed_again(
    source: MovingSource, writer: sqlite3.Connection, catalogue: Catalogue
) -> None:
    """The mark refuses changes for good, and a registry that knows only the file does not start."""
    source.set_mark("one", 0, schema_version(), "the PostgreSQL database db/moorage")
    with pytest.raises(sqlite3.IntegrityError, match="being moved"):
        writer.execute("INSERT INTO garbage VALUES ('x', 1)")

    mark = read_mark(catalogue.path)
    assert mark is not None
    assert mark.id == "one"
    before = catalogue.path.read_bytes()
    with pytest.raises(Unavailable, match=r"db/moorage\) on 20.* set database.postgres"):
        asyncio.run(SQLiteDatabase(catalogue.path).start())
    assert catalogue.path.read_bytes() == before


def test_a_registry_that_does_not_follow_tells_its_clients_to_wait(
    source: MovingSource, catalogue: Catalogue
) -> None:
    """A push to a frozen catalogue is answered with 503 and is not half done."""

    async def push(transaction: Transaction) -> None:
        await transaction.execute("INSERT INTO garbage VALUES ('x', 1)")

    async def scenario() -> None:
        database = SQLiteDatabase(catalogue.path)
        await database.start()
        source.freeze("one")
        try:
            with pytest.raises(CatalogueFrozen):
                await database.transaction(push)
            results = await asyncio.gather(
                *(database.transaction(push) for _ in range(3)), return_exceptions=True
            )
            assert {type(result) for result in results} == {CatalogueFrozen}
            source.thaw("one")
            await database.transaction(push)
            assert await database.fetch_all("SELECT key FROM garbage") == [("x",)]
        finally:
            await database.close()

    asyncio.run(scenario())


def test_an_aborted_move_leaves_the_file_as_it_was(
    catalogue: Catalogue, writer: sqlite3.Connection
) -> None:
    """After the end of a move nothing is captured or refused, and the schema is the old one."""
    schema, rows = catalogue.schema(), catalogue.rows()
    with closing(MovingSource(catalogue.path)) as source:
        source.begin("one", source.tables())
        source.freeze("one")
        source.abort()

    assert catalogue.schema() == schema
    assert catalogue.rows() == rows
    writer.execute("INSERT INTO garbage VALUES ('x', 1)")
