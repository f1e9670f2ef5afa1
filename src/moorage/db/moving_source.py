# SPDX-License-Identifier: Apache-2.0
"""The SQLite side of a move: the file is read, watched, frozen and marked while others write to it.

Triggers on every table write down the key of each changed row in the transaction of the change, and
refuse the change while the catalogue is frozen or once it is moved. Invariants: no read lasts
longer than a batch or a round; the mark is set only if not a single change was captured since the
last one that PostgreSQL has, so a tool that slept through its own freeze cannot lose any.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from moorage.db.migrations import SCHEMA
from moorage.db.moving_marks import (
    CHANGES,
    CREATE_MARKS,
    FREEZE_SECONDS,
    FROZEN,
    MARKS,
    OURS,
    REFUSAL,
    mark_in,
)
from moorage.db.moving_rows import Table, key_from, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from moorage.db.moving_marks import Mark
    from moorage.db.moving_rows import Key
    from moorage.db.protocol import Row

BATCH_ROWS = 2000
# A row may carry a manifest of 4 MiB; what is read at a time stays in memory.
BATCH_BYTES = 8 * 1024 * 1024
# Deleted in one transaction, which others wait for.
PRUNED_AT_A_TIME = 5000
LOCK_SECONDS = 30.0

_TABLES = """
    SELECT name FROM sqlite_master
    WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY rowid
"""
_TRIGGERS = (
    "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'moving^_%' ESCAPE '^'"
)
_CREATE_CHANGES = f"""
    CREATE TABLE IF NOT EXISTS {CHANGES} (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        key TEXT NOT NULL
    )
"""
_REFUSE = f"""
    SELECT RAISE(ABORT, '{REFUSAL}') FROM {MARKS} WHERE moved_at IS NOT NULL OR {FROZEN};
"""  # noqa: S608 (tables of ours)


class NotMovable(Exception):
    """The file cannot be moved; the message says why and what to do."""


class MarkRefused(Exception):
    """The file was changed after the last round: it is not frozen any more."""


class Changes:
    """What was changed since PostgreSQL was last brought up to date, as one read sees it."""

    def __init__(self, last: int, keys: dict[str, list[Key]]) -> None:
        self.last = last
        self.keys = keys

    def __len__(self) -> int:
        return sum(len(keys) for keys in self.keys.values())


class MovingSource:
    """The file that a catalogue is moved from."""

    def __init__(self, path: Path) -> None:
        """Open the file, which must exist.

        Raises:
            sqlite3.Error: it is no database, or cannot be written.
        """
        self._path = path
        self._writer = self._connect()
        # What this writes must have reached the disk when it is done: the mark above all.
        self._writer.execute("PRAGMA synchronous = FULL")
        self._reader = self._connect()

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
        )
        # A checkpoint inside a commit would make the freeze longer; the registry makes its own.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    @property
    def mark(self) -> Mark | None:
        """The mark, if the catalogue has been moved already."""
        return mark_in(self._reader)

    @property
    def schema_version(self) -> int:
        """The version of the schema."""
        version: int = self._reader.execute("PRAGMA user_version").fetchone()[0]
        return version

    def tables(self) -> list[Table]:
        """All tables of the catalogue."""
        names = [name for (name,) in self._reader.execute(_TABLES) if name not in (*OURS, SCHEMA)]
        return [self._table(name) for name in names]

    def _table(self, name: str) -> Table:
        info = self._reader.execute(f"PRAGMA table_info({quoted([name])})").fetchall()
        key = tuple(row[1] for row in sorted(info, key=lambda row: row[5]) if row[5])
        kinds = {row[1]: row[2].upper() for row in info}
        # `json_array` takes no bytes, and would refuse the change that it should capture.
        if not key or any(kinds[column] not in ("TEXT", "INTEGER") for column in key):
            raise NotMovable(f"its table {name} has no primary key of texts and whole numbers")
        return Table(name, tuple(row[1] for row in info), key)

    # -- begin and end ---------------------------------------------------------------------------

    def begun(self) -> str | None:
        """Which move the file is in the middle of, if it is."""
        self._writer.execute(CREATE_MARKS)
        row = self._writer.execute(f"SELECT id FROM {MARKS}").fetchone()  # noqa: S608
        return None if row is None else str(row[0])

    def begin(self, identity: str, tables: Sequence[Table]) -> None:
        """From here on every change is captured."""
        with self._transaction():
            self._writer.execute(CREATE_MARKS)
            self._writer.execute(_CREATE_CHANGES)
            self._writer.execute(
                f"INSERT INTO {MARKS} (id, begun_at) "  # noqa: S608
                "VALUES (?, CAST(strftime('%s', 'now') AS INTEGER) * 1000000)",
                (identity,),
            )
            for table in tables:
                for trigger in _triggers(table):
                    self._writer.execute(trigger)

    def watches(self, tables: Sequence[Table]) -> bool:
        """Whether every one of the tables has its triggers: a table may have come since."""
        there = {name for (name,) in self._reader.execute(_TRIGGERS)}
        wanted = {f"moving_{event}_{table.name}" for table in tables for event in _EVENTS}
        return wanted <= there

    def abort(self) -> None:
        """Leave the file as if there had been no move."""
        with self._transaction():
            for (name,) in self._writer.execute(_TRIGGERS).fetchall():
                self._writer.execute(f"DROP TRIGGER {quoted([name])}")
            self._writer.execute(f"DROP TABLE IF EXISTS {CHANGES}")
            self._writer.execute(CREATE_MARKS)
            # Registries that follow look into this table before every read.
            self._writer.execute(f"DELETE FROM {MARKS}")  # noqa: S608

    # -- reading ---------------------------------------------------------------------------------

    def count(self, table: Table) -> int:
        """How many rows the table has."""
        count: int = self._reader.execute(
            f'SELECT count(*) FROM "{table.name}"'  # noqa: S608
        ).fetchone()[0]
        return count

    def batch(self, table: Table, after: Key | None) -> list[Row]:
        """The next rows in the order of their keys."""
        marks = ", ".join("?" * len(table.key))
        where = "" if after is None else f"WHERE ({table.key_list}) > ({marks})"
        cursor = self._reader.execute(
            f'SELECT {table.column_list} FROM "{table.name}" {where} '  # noqa: S608
            f"ORDER BY {table.key_list} LIMIT {BATCH_ROWS}",
            after or (),
        )
        rows: list[Row] = []
        size = 0
        with closing(cursor):
            for row in cursor:
                rows.append(row)
                size += sum(len(cell) for cell in row if isinstance(cell, bytes | str))
                if size > BATCH_BYTES:
                    break
        return rows

    def rows(self, table: Table, keys: Sequence[Key]) -> Iterator[list[Row]]:
        """The rows of these keys, as far as there are any, some at a time."""
        where = " AND ".join(f'"{column}" = ?' for column in table.key)
        sql = f'SELECT {table.column_list} FROM "{table.name}" WHERE {where}'  # noqa: S608
        rows: list[Row] = []
        size = 0
        for key in keys:
            row = self._reader.execute(sql, key).fetchone()
            if row is not None:
                rows.append(row)
                size += sum(len(cell) for cell in row if isinstance(cell, bytes | str))
            if len(rows) >= BATCH_ROWS or size > BATCH_BYTES:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    @contextmanager
    def moment(self) -> Iterator[None]:
        """What is read in the block is the file as it was at one moment."""
        self._reader.execute("BEGIN")
        try:
            yield
        finally:
            self._reader.execute("COMMIT")

    def changes(self, since: int) -> Changes:
        """What was changed after the change `since`."""
        keys: dict[str, list[Key]] = defaultdict(list)
        last = self._last_change(since)
        for name, key in self._reader.execute(
            f"SELECT DISTINCT name, key FROM {CHANGES} WHERE seq > ? AND seq <= ?",  # noqa: S608
            (since, last),
        ):
            keys[name].append(key_from(key))
        return Changes(last, keys)

    def backlog(self, since: int) -> int:
        """About how many changes have come since; some may be of the same row."""
        return self._last_change(since) - since

    def _last_change(self, since: int) -> int:
        last = self._reader.execute(f"SELECT max(seq) FROM {CHANGES}").fetchone()[0]  # noqa: S608
        return since if last is None else max(since, int(last))

    def forget_changes(self, until: int) -> None:
        """Let go of captured changes that PostgreSQL has."""
        delete = f"""
            DELETE FROM {CHANGES} WHERE seq <= ? AND seq <
                (SELECT min(seq) + {PRUNED_AT_A_TIME} FROM {CHANGES})
        """  # noqa: S608
        while self._writer.execute(delete, (until,)).rowcount > 0:
            pass

    def numbers(self) -> dict[str, int]:
        """The highest number that each table with numbered rows has ever given."""
        found = self._reader.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        return {name: number for name, number in found if name not in OURS}

    # -- freeze and mark -------------------------------------------------------------------------

    def freeze(self, identity: str) -> None:
        """Refuse changes from here on, for a short while.

        Raises:
            NotMovable: somebody has ended this move.
        """
        with self._transaction():
            changed = self._writer.execute(
                f"UPDATE {MARKS} SET frozen_until = "  # noqa: S608
                f"CAST(strftime('%s', 'now') AS INTEGER) + {FREEZE_SECONDS} "
                "WHERE id = ? AND moved_at IS NULL",
                (identity,),
            ).rowcount
            if not changed:
                raise _ended()

    def thaw(self, identity: str) -> None:
        """Take changes again."""
        self._writer.execute(
            f"UPDATE {MARKS} SET frozen_until = NULL WHERE id = ? AND moved_at IS NULL",  # noqa: S608
            (identity,),
        )

    def set_mark(self, identity: str, applied: int, schema_version: int, destination: str) -> None:
        """Say, once and for all, that PostgreSQL is the truth.

        Raises:
            MarkRefused: there are changes that PostgreSQL has not.
            NotMovable: somebody has ended this move, or changed the schema.
        """
        with self._transaction():
            last = self._writer.execute(
                f"SELECT seq FROM {CHANGES} WHERE seq > ? LIMIT 1",  # noqa: S608
                (applied,),
            ).fetchone()
            if last is not None:
                raise MarkRefused
            (version,) = self._writer.execute("PRAGMA user_version").fetchone()
            if version != schema_version:
                raise NotMovable(
                    f"its schema went from version {schema_version} to {version} meanwhile: run "
                    "this again with the moorage that the registry runs"
                )
            changed = self._writer.execute(
                f"UPDATE {MARKS} SET frozen_until = NULL, moved_to = ?, "  # noqa: S608
                "moved_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000000 "
                "WHERE id = ? AND moved_at IS NULL",
                (destination, identity),
            ).rowcount
            if not changed:
                raise _ended()

    def checkpoint(self) -> None:
        """Copy the log into the file, as far as others let us."""
        self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")


_EVENTS = ("INSERT", "UPDATE", "DELETE")


def _triggers(table: Table) -> Iterator[str]:
    old, new = (", ".join(f'{row}."{column}"' for column in table.key) for row in ("OLD", "NEW"))
    # An update that changes the key takes one row away and makes another.
    other = "WHERE " + " OR ".join(f'OLD."{column}" <> NEW."{column}"' for column in table.key)
    captured = {
        "INSERT": _capture(table, new),
        "UPDATE": _capture(table, new) + _capture(table, old, other),
        "DELETE": _capture(table, old),
    }
    for event in _EVENTS:
        yield (
            f'CREATE TRIGGER "moving_{event}_{table.name}" AFTER {event} ON "{table.name}"\n'
            f"BEGIN {_REFUSE} {captured[event]} END"
        )


def _capture(table: Table, key: str, where: str = "") -> str:
    return f"""
        INSERT INTO {CHANGES} (name, key) SELECT '{table.name}', json_array({key}) {where};
    """


def _ended() -> NotMovable:
    return NotMovable("this move was ended by somebody else; nothing was switched")
