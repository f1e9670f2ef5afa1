# SPDX-License-Identifier: Apache-2.0
"""Finding one thing meets one row, whatever else is stored: the plans that both engines choose.

A tag may have moved a hundred thousand times, and a layer may be linked by as many repositories.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from moorage.content import blobs, manifests
from moorage.db.sqlite import SQLiteDatabase
from moorage.db.sqlite_dialect import statement

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer

BY_TAG, FIND_BLOB = manifests._GET_BY_TAG, blobs._FIND
BY_DIGEST = manifests._GET_BY_DIGEST
STATEMENTS = pytest.mark.parametrize(
    ("sql", "indexes"),
    [
        (BY_TAG, ("tags_open", "manifests_present")),
        (BY_DIGEST, ("manifests_present",)),
        (FIND_BLOB, ("repository_id=? AND digest=?",)),
    ],
    ids=["manifest by tag", "manifest by digest", "blob"],
)


@STATEMENTS
def test_sqlite(tmp_path: Path, sql: str, indexes: tuple[str, ...]) -> None:
    """SQLite looks one row up in each table."""
    path = tmp_path / "moorage.db"

    async def make() -> None:
        database = SQLiteDatabase(path)
        await database.start()
        await database.close()

    asyncio.run(make())
    with closing(sqlite3.connect(path)) as connection:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {statement(sql)}", ("a", "b")).fetchall()
    plan = "; ".join(step[3] for step in steps)
    assert "SCAN" not in plan.replace("SCALAR", "")
    for index in indexes:
        assert index in plan


# Rows as they are where it matters: one tag that has moved often, one layer that everybody links.
FILL = """
    INSERT INTO repositories (name, created_at)
        SELECT 'r' || n, 0 FROM generate_series(1, 2000) n;
    INSERT INTO blobs (digest, size, created_at, touched_at)
        SELECT 'sha256:' || n, 1, 0, 0 FROM generate_series(1, 3000) n;
    INSERT INTO extents (digest, ordinal, key, size)
        SELECT digest, 0, digest, 1 FROM blobs;
    INSERT INTO repository_blobs (repository_id, digest, linked_at)
        SELECT id, 'sha256:1', 0 FROM repositories;
    INSERT INTO repository_blobs (repository_id, digest, linked_at)
        SELECT id, 'sha256:' || (id + 1), 0 FROM repositories;
    INSERT INTO manifests (repository_id, digest, media_type, size, pushed_by, pushed_at, payload)
        SELECT id, 'sha256:m' || id, 't', 1, '', 0, '' FROM repositories;
    INSERT INTO tags (repository_id, name, digest, started_at, ended_at, actor)
        SELECT 1, 'latest', 'sha256:m1', n, n + 1, '' FROM generate_series(1, 20000) n;
    INSERT INTO tags (repository_id, name, digest, started_at, actor)
        SELECT id, 'latest', 'sha256:m' || id, 20001, '' FROM repositories;
    ANALYZE;
"""


@STATEMENTS
def test_postgres(
    postgres_server: PostgresServer, postgres_database: str, sql: str, indexes: tuple[str, ...]
) -> None:
    """PostgreSQL does too, also with the plan that it keeps for whatever is asked next."""
    plan = postgres_server.run_sql(
        FILL,
        "SET plan_cache_mode = force_generic_plan",
        f"PREPARE one (text, text) AS {sql}",
        "EXPLAIN (COSTS OFF) EXECUTE one ('r1', 'latest')",
        database=postgres_database,
    )
    assert "Seq Scan" not in plan
    assert "Join Filter" not in plan
    assert "tags_closed" not in plan
    for index in indexes:
        if "=?" not in index:
            assert index in plan
    if sql == FIND_BLOB:
        assert "repository_id = $" in plan or "repository_id = (InitPlan" in plan
