# SPDX-License-Identifier: Apache-2.0
"""The database and the blob store that the settings name: one branch for each kind there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.db.sqlite import SQLiteDatabase
from moorage.settings.sections.storage import DATABASE_NAME
from moorage.storage.filesystem import FilesystemStore
from moorage.storage.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.db.protocol import Database
    from moorage.settings import Settings
    from moorage.storage.protocol import AppendableStore, ExtentStore


def build_database(settings: Settings, memory: Path | None = None) -> Database:
    """The database, not yet opened.

    `memory` is a folder for the database of a registry that forgets everything when it stops.
    """
    path = settings.sqlite_path
    if path is None:
        if memory is None:
            raise ValueError("a registry in memory needs a folder for its database")
        path = memory / DATABASE_NAME
    return SQLiteDatabase(path)


def build_store(settings: Settings) -> AppendableStore | ExtentStore:
    """The blob store, not yet started."""
    if settings.storage.inmemory is not None:
        return MemoryStore()
    filesystem = settings.storage.filesystem
    return FilesystemStore(filesystem.rootdirectory, sync_directories=filesystem.syncdirectories)
