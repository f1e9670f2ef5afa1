# SPDX-License-Identifier: Apache-2.0
"""All rows of a database in one file, from one moment, and back again into an empty database.

What is left out: what a running registry has under way, what belongs to one store (where the bytes
are), and keys. Blobs that no repository has are left out too: nothing keeps them from vanishing.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

from moorage.db.migrations import VERSION
from moorage.db.tables import schema_version, table_names
from moorage.lifecycle.table_text import DamagedText, TextReader, TextWriter
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from moorage.db.protocol import Database, View
    from moorage.lifecycle.table_text import Rows

LEFT_OUT = frozenset({"uploads", "upload_extents", "garbage", "signing_keys", "extents"})
_SELECTED = {
    "blobs": """
        SELECT * FROM blobs b
        WHERE EXISTS (SELECT 1 FROM repository_blobs l WHERE l.digest = b.digest)
    """
}
_LAST_EVENT = "SELECT id FROM events ORDER BY seq DESC LIMIT 1"
_COLUMN = re.compile(r"[a-z_]{1,63}")
_PIECE_BYTES = 1024 * 1024


async def write_catalogue(database: Database, path: Path) -> tuple[dict[str, int], str]:
    """Write the file, durably; return the number of rows of each table and the last event's id.

    Raises:
        Unavailable: the database has more in it than this program knows of.
    """
    await _require_known_schema(database)
    counts: dict[str, int] = {}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
        text = TextWriter()
        async with database.view() as view:
            last = await view.fetch_one(_LAST_EVENT)
            for table in table_names():
                if table not in LEFT_OUT:
                    file.write(text.table(table, await view.columns(table)))
                    counts[table] = 0
                    async for rows in view.rows(_statement(table)):
                        counts[table] += len(rows)
                        file.write(await asyncio.to_thread(text.rows, rows))
        file.write(text.end())
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    # Columns that came meanwhile are in the file already, although its rows are of the view.
    await _require_known_schema(database)
    return counts, last[0] if last else ""


async def _require_known_schema(database: Database) -> None:
    found, known = await database.fetch_one(VERSION), schema_version()
    if found is not None and found[0] > known:
        raise Unavailable(
            f"a newer Moorage has brought the database to schema version {found[0]}; this program "
            f"knows versions up to {known} and would leave out the rest: use the newer one for this"
        )


def _statement(table: str) -> str:
    return _SELECTED.get(table) or f"SELECT * FROM {table}"  # noqa: S608 (a table of ours)


async def last_event(reader: View | Database) -> str:
    """The id of the newest event, or ""."""
    row = await reader.fetch_one(_LAST_EVENT)
    return row[0] if row else ""


def read_catalogue(path: Path) -> Iterator[Rows]:
    """All rows of a file.

    Raises:
        Unavailable: it is damaged.
    """
    reader = TextReader()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield from reader.feed(piece)
        reader.end()
    except DamagedText as error:
        raise Unavailable(f"the backup's catalogue is damaged: {error}") from error


def read_table(path: Path, table: str, *columns: str) -> Iterator[tuple[object, ...]]:
    """These columns of one table."""
    for found in read_catalogue(path):
        if found.table == table:
            yield from found.picked(*columns)


def insert_statement(found: Rows, tables: Sequence[str]) -> str:
    """How rows of a file are inserted into the table of their name.

    Raises:
        Unavailable: there is no such table, or a column has a name that none of ours has.
    """
    odd = [column for column in found.columns if not _COLUMN.fullmatch(column)]
    if found.table not in tables or found.table in LEFT_OUT or odd:
        raise Unavailable(
            f"the backup's catalogue has a table {found.table!r:.60} that is not ours"
        )
    names = ", ".join(found.columns)
    places = ", ".join(f"${place}" for place in range(1, len(found.columns) + 1))
    return f"INSERT INTO {found.table} ({names}) VALUES ({places})"  # noqa: S608 (checked above)
