# SPDX-License-Identifier: Apache-2.0
"""Database and store, opened by a command and closed after it, while a registry may be serving."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from moorage.db.migrations import SchemaTooNew
from moorage.db.sqlite import SQLiteDatabase
from moorage.spec.errors import Unavailable
from moorage.storage.protocol import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from moorage.db.protocol import Database
    from moorage.storage.protocol import BlobStore

SCRATCH_NAME = "scratch.db"


@asynccontextmanager
async def opened(database: Database, store: BlobStore) -> AsyncIterator[None]:
    """Both, ready for use inside the block.

    Raises:
        Unavailable: the database is damaged, or not one of this version's.
    """
    try:
        await store.start()
        await database.start()
        try:
            yield
        finally:
            await database.close()
    except (sqlite3.Error, SchemaTooNew) as error:
        raise Unavailable(f"the database cannot be used: {error}") from error


def record_keeper(store: BlobStore) -> RecordKeeper:
    """The store as one that keeps records.

    Raises:
        Unavailable: it keeps none.
    """
    if not isinstance(store, RecordKeeper):
        raise Unavailable("this store keeps no records of manifests and no snapshots")
    return store


def scratch_database(folder: Path) -> Database:
    """A database that is thrown away with its folder, whichever engine the registry uses."""
    return SQLiteDatabase(folder / SCRATCH_NAME)
