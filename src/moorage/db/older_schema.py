# SPDX-License-Identifier: Apache-2.0
"""A SQLite file with the schema of an older version, for rows that come from there.

Once they are in it, starting it as a database runs the migrations that they have missed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from moorage.db import migrations
from moorage.db.sqlite_dialect import schema, statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from moorage.db.protocol import Value


def fill_older(
    path: Path, version: int, batches: Iterable[tuple[str, Sequence[Sequence[Value]]]]
) -> None:
    """Make the file with that version's tables, and run each statement for its rows.

    Raises:
        sqlite3.Error: the rows do not fit the tables of that version.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for migration in migrations.all_migrations():
            if migration.version <= version:
                for text in migration.statements:
                    connection.execute(schema(text))
        connection.execute(f"PRAGMA user_version = {version:d}")
        for sql, rows in batches:
            connection.executemany(statement(sql), rows)
        connection.execute("COMMIT")
