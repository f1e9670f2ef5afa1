# SPDX-License-Identifier: Apache-2.0
"""Catalogues to move: filled, changed while they are moved, and read back from either engine."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from moorage.db.moving_marks import OURS
from moorage.db.moving_source import MovingSource
from moorage.db.moving_target import connect_target
from moorage.db.postgres_pool import PostgresOptions
from moorage.db.sqlite import SQLiteDatabase
from moorage.db.tables import schema_version, table_names
from moorage.observe.progress import SilentProgress
from moorage.transfer.moving_catalogue import CatalogueMove, MoveOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from moorage.db.moving_target import MovingTarget
    from moorage.observe.progress import Unit
    from moorage.transfer.moving_catalogue import MoveReport

T = TypeVar("T")
Rows = dict[str, list[tuple[object, ...]]]


def digest(number: object) -> str:
    """A digest that belongs to the number."""
    return "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()


@dataclass
class Catalogue:
    """A SQLite catalogue in a file, and somebody who writes to it as a registry would."""

    path: Path
    made: int = 0

    def make(self, images: int) -> None:
        """Make the file, with so many images."""

        async def start() -> None:
            database = SQLiteDatabase(self.path)
            await database.start()
            await database.close()

        asyncio.run(start())
        with closing(self.connect()) as connection:
            connection.execute("BEGIN")
            connection.execute("INSERT INTO repositories (name, created_at) VALUES ('a/b', 1)")
            for _ in range(images):
                self.push(connection)
            connection.execute("COMMIT")

    def connect(self) -> sqlite3.Connection:
        """A connection as a registry's writer has one."""
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def push(self, connection: sqlite3.Connection) -> int:
        """Push an image: some rows in most of the tables."""
        self.made += 1
        n, name = self.made, digest(self.made)
        insert = connection.execute
        insert("INSERT INTO blobs VALUES (?, 5, 'stored', 1, 1)", (name,))
        insert("INSERT INTO extents VALUES (?, 0, ?, 5)", (name, f"key-{n}"))
        insert("INSERT INTO repository_blobs VALUES (1, ?, 1)", (name,))
        manifest = insert(
            "INSERT INTO manifests (repository_id, digest, media_type, size, pushed_by, pushed_at, "
            "payload) VALUES (1, ?, 'm', 3, 'ü', 1, ?)",
            (name, bytes([n % 256, 0, 255])),
        ).lastrowid
        assert manifest is not None
        # "L" comes before "l" bytewise, and after it in most languages.
        for kind in ("layer", "Layer", "ä"):
            insert("INSERT INTO manifest_references VALUES (?, ?, ?)", (manifest, kind, name))
        self.tag(connection, f"v{n}", name)
        return manifest

    def tag(self, connection: sqlite3.Connection, tag: str, name: str) -> None:
        """Move a tag, with its event."""
        connection.execute(
            "UPDATE tags SET ended_at = 2 WHERE name = ? AND ended_at IS NULL", (tag,)
        )
        connection.execute(
            "INSERT INTO tags (repository_id, name, digest, started_at, actor) "
            "VALUES (1, ?, ?, 1, '')",
            (tag, name),
        )
        connection.execute(
            "INSERT INTO events (id, at, actor, action, target, detail) "
            "VALUES ('', 1, '', 'tag', ?, '{}')",
            (tag,),
        )

    def forget(self, connection: sqlite3.Connection, number: int) -> None:
        """Remove an image and everything that hangs on it, in one transaction."""
        name = digest(number)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "DELETE FROM manifest_references WHERE manifest_id IN "
            "(SELECT id FROM manifests WHERE digest = ?)",
            (name,),
        )
        for table in ("manifests", "tags", "repository_blobs", "extents", "blobs"):
            connection.execute(f"DELETE FROM {table} WHERE digest = ?", (name,))
        connection.execute("COMMIT")

    def rows(self) -> Rows:
        """Everything in it."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return {
                name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
                for name in table_names()
            }

    def schema(self) -> set[tuple[str, str]]:
        """All tables, indexes and triggers, but those that a move keeps."""
        with closing(sqlite3.connect(self.path)) as connection:
            found = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        return {
            (kind, name) for kind, name in found if name not in OURS and "autoindex" not in name
        }


@dataclass
class Meddling(SilentProgress):
    """What happens while a move is under way: called whenever it begins a new part."""

    meddle: Callable[[str], None]
    parts: list[str] = field(default_factory=list)

    def begin(self, work: str, total: int, unit: Unit) -> None:
        """Meddle."""
        self.parts.append(work)
        self.meddle(work)


@dataclass
class Move:
    """A move of the catalogue into a PostgreSQL database."""

    catalogue: Catalogue
    url: str
    meddle: Callable[[str], None] = lambda _: None
    boot: str = "boot"
    # What stands between the move and PostgreSQL, for those who meddle there.
    wrapped: Callable[[MovingTarget], MovingTarget] = lambda target: target

    def run(self) -> MoveReport:
        """Move it, or go on."""
        return asyncio.run(self.moving())

    async def moving(self) -> MoveReport:
        """Move it, or go on, in this loop."""
        source = MovingSource(self.catalogue.path)
        tables = source.tables()
        target = self.wrapped(await connect_target(PostgresOptions(url=self.url), tables))
        options = MoveOptions(
            destination="PostgreSQL", boot=self.boot, schema_version=schema_version()
        )
        try:
            progress = Meddling(self.meddle)
            return await CatalogueMove(source, target, tables, options, progress).run()
        finally:
            await target.close()
            source.close()

    def rows(self) -> Rows:
        """Everything that is in PostgreSQL."""
        return asyncio.run(rows_of(self.url))

    def schema(self) -> set[tuple[str, ...]]:
        """Constraints, indexes and tables of PostgreSQL, but those that a move keeps."""
        return asyncio.run(_schema_of(self.url))


async def rows_of(url: str) -> Rows:
    """Everything that is in PostgreSQL."""
    return await _asked(url, _all_rows)


async def _all_rows(connection: Any) -> Rows:
    return {
        name: sorted(map(tuple, await connection.fetch(f"SELECT * FROM {name}")), key=repr)
        for name in table_names()
    }


async def _schema_of(url: str) -> set[tuple[str, ...]]:
    async def ask(connection: Any) -> set[tuple[str, ...]]:
        rows = await connection.fetch(
            """
            SELECT 'constraint', conname::text, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace
            UNION ALL
            SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT 'table', tablename, '' FROM pg_tables WHERE schemaname = 'public'
            """
        )
        return {tuple(row) for row in rows if not row[1].startswith("moving")}

    return await _asked(url, ask)


async def _asked(url: str, ask: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    connection = await asyncpg.connect(url)
    try:
        return await ask(connection)
    finally:
        await connection.close()
