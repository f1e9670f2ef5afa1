# SPDX-License-Identifier: Apache-2.0
"""Commands on a database that a newer program has migrated and this one may work on."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from moorage.db.sqlite import SQLiteDatabase
from moorage.db.tables import schema_version
from tests.support.commands import Commands
from tests.support.registry import RunningRegistry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lifecycle.conftest import Stocked

NEWER = f"""
    CREATE TABLE notes (name TEXT PRIMARY KEY);
    ALTER TABLE tags ADD COLUMN note TEXT;
    ALTER TABLE repositories ADD COLUMN note TEXT NOT NULL DEFAULT '';
    INSERT INTO moorage_schema VALUES ({schema_version() + 1}, 0, {schema_version()});
    PRAGMA user_version = {schema_version() + 1};
"""


def migrate(registry: RunningRegistry) -> None:
    """What the newer program has done."""
    with closing(sqlite3.connect(registry.root / "moorage.db")) as connection:
        connection.executescript(NEWER)


async def make(database: SQLiteDatabase) -> None:
    """Make a new database, with the schema of this program."""
    await database.start()
    await database.close()


def test_a_backup_is_left_to_the_newer_program(stocked: Stocked, tmp_path: Path) -> None:
    """What this one does not know would be missing, so it makes none and keeps the one before."""
    folder = tmp_path / "backup"
    assert stocked.commands.run("backup", folder).code == 0
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    migrate(stocked.registry)

    outcome = stocked.commands.run("backup", folder)

    assert outcome.code == 2
    assert f"schema version {schema_version() + 1}" in outcome.errors
    assert "use the newer one" in outcome.errors
    assert before.items() <= {file: file.stat().st_mtime_ns for file in folder.iterdir()}.items()
    assert stocked.commands.run("backup", "--check", folder).code == 0


def test_everything_else_goes_on(stocked: Stocked) -> None:
    """Check finds nothing wrong, and the registry starts and serves."""
    migrate(stocked.registry)

    check = stocked.commands.run("check", "--json")
    assert (check.code, check.json()["problems"]) == (0, 0), check
    assert "base" in stocked.commands.run("ls").text


def test_an_older_backup_is_restored_into_it(stocked: Stocked, tmp_path: Path) -> None:
    """What was added stays at its default, as with anything that this program writes."""
    assert stocked.commands.run("backup", tmp_path / "backup").code == 0
    empty = RunningRegistry(tmp_path / "empty")
    asyncio.run(make(SQLiteDatabase(empty.root / "moorage.db")))
    migrate(empty)
    commands = Commands.of(empty)

    restored = commands.run("restore", tmp_path / "backup")

    assert restored.code == 0, restored
    check = commands.run("check", "--json")
    assert check.json()["problems"] == 0, check.text
