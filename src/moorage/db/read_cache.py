# SPDX-License-Identifier: Apache-2.0
"""Rows that were read lately, good for as long as nobody has committed anything since.

SQLite tells with `PRAGMA data_version` whether any other connection, in this process or another,
has changed the database: one look at shared memory instead of a walk down three indexes. A pull
storm asks for the same few rows thousands of times between two pushes. Invariant: a cached row is
returned only after the version was compared, so it is what the statement would return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from moorage.db.protocol import Row, Value

    Key = tuple[str, tuple[Value, ...]]

# Thousands of manifests of a few KiB, or a few dozen complete lists of tags.
MAX_BYTES = 8 * 1024 * 1024
# What a row costs beside its cells: tuple, key and table entry.
ROW_BYTES = 1024


class ReadCache:
    """The first rows of statements, on one connection that only reads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows: dict[Key, Row] = {}
        self._version = -1
        self._bytes = 0

    def fetch_one(self, sql: str, arguments: tuple[Value, ...]) -> Row | None:
        """The first row, from memory if nothing was committed since it was read."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._clear()
            self._version = version
        key = (sql, arguments)
        row = self._rows.get(key)
        if row is None:
            row = self._connection.execute(sql, arguments).fetchone()
            if row is not None:
                self._keep(key, row)
        return row

    def _keep(self, key: Key, row: Row) -> None:
        size = ROW_BYTES + sum(len(cell) for cell in row if isinstance(cell, bytes | str))
        if self._bytes + size > MAX_BYTES:
            self._clear()
        if size <= MAX_BYTES:
            self._rows[key] = row
            self._bytes += size

    def _clear(self) -> None:
        self._rows.clear()
        self._bytes = 0
