# SPDX-License-Identifier: Apache-2.0
"""The schema in a SQLite file, brought up to date inside a transaction that the caller holds.

`user_version` is the version; the table `SCHEMA` says which older programs may open it. Invariant:
both are written with the migration that they tell of, or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.db.migrations import SCHEMA, newest_version, oldest_program, pending
from moorage.db.sqlite_dialect import schema

if TYPE_CHECKING:
    import sqlite3

# As in PostgreSQL.
_CREATE = f"""
    CREATE TABLE IF NOT EXISTS {SCHEMA}
        (version INTEGER PRIMARY KEY, at INTEGER NOT NULL, works_with INTEGER)
"""
_OLDEST = f"SELECT works_with FROM {SCHEMA} WHERE version = ?"  # noqa: S608 (a table of ours)
_RECORD = f"""
    INSERT INTO {SCHEMA} (version, at, works_with)
    VALUES (?, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, ?)
"""  # noqa: S608 (a table of ours)


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make or renew the schema.

    Raises:
        SchemaTooNew: the file is ahead of this program, which cannot work on it.
    """
    connection.execute(_CREATE)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    row = connection.execute(_OLDEST, (version,)).fetchone() if version > newest_version() else None
    for migration in pending(version, None if row is None else row[0]):
        for text in migration.statements:
            connection.execute(schema(text))
        connection.execute(_RECORD, (migration.version, oldest_program(migration.version)))
        connection.execute(f"PRAGMA user_version = {migration.version:d}")
