# SPDX-License-Identifier: Apache-2.0
"""A tool that is older than one of the databases moves nothing and says which program can."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from moorage.db.postgres_pool import PostgresOptions
from moorage.db.tables import schema_version
from moorage.observe.progress import SilentProgress
from moorage.transfer.moving_ends import move_catalogue
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from tests.moving.catalogues import Move
    from tests.support.postgres import PostgresServer

NEXT = schema_version() + 1
NEWER = f"INSERT INTO moorage_schema VALUES ({NEXT}, 0, {schema_version()})"


def refused(move: Move) -> str:
    """Why it is not moved; nothing was changed."""
    schema, rows = move.catalogue.schema(), move.catalogue.rows()
    options = PostgresOptions(url=move.url)
    with pytest.raises(CannotTransfer) as error:
        asyncio.run(move_catalogue(move.catalogue.path, options, SilentProgress()))
    assert (move.catalogue.schema(), move.catalogue.rows()) == (schema, rows)
    return str(error.value)


def test_a_newer_file_is_refused(move: Move) -> None:
    """The newer program, which the registry runs, is the one to move with."""
    with closing(sqlite3.connect(move.catalogue.path)) as connection, connection:
        connection.execute(NEWER)
        connection.execute(f"PRAGMA user_version = {NEXT}")

    assert f"the file has schema version {NEXT}" in (text := refused(move))
    assert "move with the one that it runs" in text


def test_a_newer_postgres_is_refused(
    move: Move, postgres_server: PostgresServer, postgres_database: str
) -> None:
    """Columns that only the newer program can fill are not left empty."""
    postgres_server.run_sql(NEWER, database=postgres_database)

    text = refused(move)

    assert f"PostgreSQL has schema version {NEXT}" in text
    assert "let the registry run the newer moorage" in text
