# SPDX-License-Identifier: Apache-2.0
"""What a SQLite catalogue says about its own move to PostgreSQL, for those who serve from it.

One row of the table `moving`: which move it is, until when writing is refused, and since when
PostgreSQL is the truth. Triggers on every table read that row before each change. Invariant: once
`moved_at` is set no table of this file ever changes again, whoever tries.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

MARKS = "moving"
CHANGES = "moving_changes"
OURS = (MARKS, CHANGES)

CREATE_MARKS = f"""
    CREATE TABLE IF NOT EXISTS {MARKS} (
        id TEXT PRIMARY KEY,
        begun_at INTEGER NOT NULL,
        frozen_until INTEGER,
        moved_at INTEGER,
        moved_to TEXT
    ) WITHOUT ROWID
"""
# What a trigger says; Python gives it as the text of an IntegrityError.
REFUSAL = "moorage: this catalogue is being moved"
# A freeze ends by itself, so a tool that died holds up pushes no longer than this. It usually lasts
# some ten milliseconds. Writers wait two of them (`moving`).
FREEZE_SECONDS = 10
# Whole seconds: what SQLite's clock gives everywhere. A clock set back must not prolong a freeze.
FROZEN = (
    f"coalesce(frozen_until - CAST(strftime('%s', 'now') AS INTEGER), 0) "
    f"BETWEEN 1 AND {FREEZE_SECONDS}"
)
_MARK = f"SELECT id, moved_at, moved_to FROM {MARKS}"  # noqa: S608 (a table of ours)
_EXISTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"


class CatalogueFrozen(Unavailable):
    """The catalogue takes no changes: it is about to be, or was, moved to PostgreSQL."""

    default_message = (
        "The catalogue is being moved to another database; try again in a moment. If this lasts, "
        "the registry must be restarted with database.postgres."
    )


class CatalogueMoved(Unavailable):
    """The catalogue is in PostgreSQL; this file is what it was at the move."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A move that is complete: PostgreSQL is the truth."""

    id: str
    moved_at: int
    moved_to: str

    def refusal(self) -> CatalogueMoved:
        """What whoever wants to work on the file is told."""
        day = datetime.fromtimestamp(self.moved_at / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return CatalogueMoved(
            f"this catalogue was moved to PostgreSQL ({self.moved_to}) on {day}: "
            "set database.postgres"
        )


class Executing(Protocol):
    """A connection, or what runs statements on one."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> sqlite3.Cursor:
        """Run one statement."""
        ...


def mark_in(connection: Executing) -> Mark | None:
    """The mark of a complete move, if this database has it."""
    if connection.execute(_EXISTS, (MARKS,)).fetchone() is None:
        return None
    return mark_of(connection.execute(_MARK).fetchone())


def mark_of(row: tuple[Any, ...] | None) -> Mark | None:
    """The mark that a row of the table tells of."""
    if row is None or row[1] is None:
        return None
    return Mark(row[0], row[1], row[2] or "")


def read_mark(path: Path) -> Mark | None:
    """The mark of the file, which is not opened for writing.

    Raises:
        sqlite3.Error: it is no database, or cannot be read.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30.0)) as connection:
        return mark_in(connection)


def refusal_of(error: sqlite3.IntegrityError) -> Exception:
    """The error itself, or what it means when a trigger of a move raised it."""
    if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_TRIGGER and REFUSAL in str(error):
        return CatalogueFrozen()
    return error
