# SPDX-License-Identifier: Apache-2.0
"""Which program may open which schema: every newer one, and older ones as far as it was stated.

The newer program is this one with migrations more, for as long as `newer` lasts.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from moorage.db import migrations
from moorage.db.migrations import Migration, all_migrations, oldest_program, parsed, pending
from moorage.db.tables import schema_version
from moorage.spec.errors import Unavailable
from tests.db.contract import COUNT, insert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.engines import Engine

NEWEST = schema_version()
ADDITIVE = (
    'CREATE TABLE notes (name TEXT COLLATE "C" PRIMARY KEY)',
    "ALTER TABLE repositories ADD COLUMN note TEXT NOT NULL DEFAULT ''",
)
NOTED = "SELECT count(*) FROM notes"
RECORDED = "SELECT version || ' for ' || works_with FROM moorage_schema"


def step(number: int, works_with: int | None, *statements: str) -> Migration:
    """The migration so many steps after the newest one."""
    return Migration(NEWEST + number, "later", statements, works_with)


@contextmanager
def newer(*steps: Migration) -> Iterator[None]:
    """In the block the program knows these migrations too."""
    known = all_migrations()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "all_migrations", lambda: (*known, *steps))
        yield


def start(engine: Engine, root: Path, name: str) -> int:
    """Start on the database, make a repository, and count all of them."""

    async def started() -> int:
        database = engine.database(root)
        await database.start()
        try:
            await database.transaction(insert(name))
            row = await database.fetch_one(COUNT)
            assert row is not None
            count: int = row[0]
            return count
        finally:
            await database.close()

    return asyncio.run(started())


def test_what_is_applied_is_recorded(engine: Engine, tmp_path: Path) -> None:
    """Each version says which is the oldest whose programs may open it, on both engines."""
    with newer(step(1, NEWEST, *ADDITIVE)):
        start(engine, tmp_path, "a")

    assert engine.column(tmp_path, RECORDED) == {
        f"{version} for {oldest_program(version)}" for version in range(1, NEWEST + 1)
    } | {f"{NEWEST + 1} for {NEWEST}"}


def test_an_older_program_starts_on_a_schema_that_works_with_it(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads and writes, changes nothing of the schema, and says so in one line."""
    caplog.set_level(logging.INFO, "moorage.db")
    start(engine, tmp_path, "before")
    with newer(step(1, NEWEST, *ADDITIVE), step(2, NEWEST)):
        start(engine, tmp_path, "new")
    assert caplog.messages == []

    assert start(engine, tmp_path, "old") == 3

    (message,) = caplog.messages
    assert message == (
        f"a newer Moorage has brought the database to schema version {NEWEST + 2}; this program "
        f"knows versions up to {NEWEST} and may work on it"
    )
    assert engine.column(tmp_path, "SELECT max(version) FROM moorage_schema") == {str(NEWEST + 2)}
    with newer(step(1, NEWEST, *ADDITIVE), step(2, NEWEST)):
        assert start(engine, tmp_path, "new again") == 4
    assert engine.column(tmp_path, NOTED) == {"0"}


@pytest.mark.parametrize(
    "steps",
    [
        (step(1, None, *ADDITIVE),),
        (step(1, NEWEST, *ADDITIVE), step(2, None)),
        (step(1, None), step(2, NEWEST, *ADDITIVE)),
        (step(1, NEWEST, *ADDITIVE), step(2, NEWEST + 1)),
    ],
    ids=["not stated", "the last is not stated", "the first is not stated", "works with the first"],
)
def test_an_older_program_refuses_any_other(
    engine: Engine, tmp_path: Path, steps: tuple[Migration, ...]
) -> None:
    """One step on the way that it cannot go on after is enough; nothing is touched."""
    start(engine, tmp_path, "before")
    with newer(*steps):
        start(engine, tmp_path, "new")

    with pytest.raises(Unavailable, match="run the newer Moorage that wrote it"):
        start(engine, tmp_path, "old")

    assert engine.column(tmp_path, COUNT) == {"2"}


def test_an_upgrade_that_breaks_off_leaves_no_trace(engine: Engine, tmp_path: Path) -> None:
    """The statement about older programs is there with the whole change, or not at all."""
    start(engine, tmp_path, "before")
    with (
        newer(step(1, NEWEST, *ADDITIVE), step(2, None, "INSERT INTO nowhere VALUES (1)")),
        pytest.raises(Unavailable, match="nowhere"),
    ):
        start(engine, tmp_path, "new")

    assert engine.column(tmp_path, "SELECT max(version) FROM moorage_schema") == {str(NEWEST)}
    assert start(engine, tmp_path, "old") == 2


def test_the_statement_stands_in_the_first_comment_lines() -> None:
    """Anywhere else it is a comment, and without it no older program may go on."""
    table = "CREATE TABLE a (b TEXT);"
    for text, stated in {
        f"-- works with: 0002\n{table}": 2,
        f"-- Adds a.\n\n-- works with: 0002\n-- Nothing else.\n{table}": 2,
        f"{table}\n-- works with: 0002\n": None,
        f"-- It works with: 0002\n{table}": None,
        table: None,
    }.items():
        assert parsed(4, "a", text) == Migration(4, "a", (table.rstrip(";"),), stated), text


def test_the_oldest_program_is_that_of_the_hardest_step() -> None:
    """What one step asks for is not undone by a later one that asks for less."""
    ours = oldest_program(NEWEST)
    with newer(step(1, 1), step(2, None), step(3, NEWEST)):
        assert oldest_program(NEWEST) == ours
        assert oldest_program(NEWEST + 1) == ours
        assert oldest_program(NEWEST + 2) == NEWEST + 2
        assert oldest_program(NEWEST + 3) == NEWEST + 2
    assert pending(NEWEST + 1, NEWEST) == ()


def test_the_statements_of_our_migrations_are_understood() -> None:
    """No file says it in other words, or of a version that is not before its own."""
    folder = resources.files(migrations)
    for migration in all_migrations():
        text = folder.joinpath(f"{migration.name}.sql").read_text("utf-8")
        assert ("works with" in text.lower()) == (migration.works_with is not None), migration.name
        if migration.works_with is not None:
            assert 0 < migration.works_with < migration.version, migration.name
