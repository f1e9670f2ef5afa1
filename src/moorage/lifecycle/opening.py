# SPDX-License-Identifier: Apache-2.0
"""Database and store, opened by a command and closed after it, while a registry may be serving."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from moorage.db.migrations import SchemaTooNew
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.db.protocol import Database
    from moorage.storage.protocol import BlobStore


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
