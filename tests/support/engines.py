# SPDX-License-Identifier: Apache-2.0
"""The database engines, for tests of what is above them; fixture `engine` gives each."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from typing import TYPE_CHECKING

from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_pool import PostgresOptions
from moorage.db.sqlite import SQLiteDatabase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from moorage.db.protocol import Database
    from tests.support.postgres import PostgresServer


class Engine(ABC):
    """An engine with an empty database for one registry at a time."""

    # The settings of a registry whose data is in a folder of the test's.
    config: Mapping[str, object]

    @abstractmethod
    def database(self, root: Path) -> Database:
        """A handle on the database, not started; `root` is the root of the registry's data."""

    @abstractmethod
    def column(self, root: Path, sql: str) -> set[str]:
        """Run a statement behind the registry's back; return the values of its only column."""

    @abstractmethod
    def clear(self) -> None:
        """Make the database empty again, after the registry's folder was removed."""

    @abstractmethod
    def examples(self, count: int) -> int:
        """How many examples of a model to run where so many are wanted."""


class SQLiteEngine(Engine):
    """The file lies in the folder of the registry, and goes with it."""

    config: Mapping[str, object] = {}

    def database(self, root: Path) -> Database:
        return SQLiteDatabase(root / "moorage.db")

    def column(self, root: Path, sql: str) -> set[str]:
        with closing(sqlite3.connect(root / "moorage.db")) as database, database:
            return {str(value) for (value,) in database.execute(sql)}

    def clear(self) -> None:
        pass

    def examples(self, count: int) -> int:
        return count


class PostgresEngine(Engine):
    """One database of a server; a step takes longer, and the code above it is the same."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self._name = name
        self.config = server.config(name)

    def database(self, root: Path) -> Database:
        return PostgresDatabase(PostgresOptions(url=self._server.url(self._name)))

    def column(self, root: Path, sql: str) -> set[str]:
        return {str(value) for (value,) in self._server.rows(self._name, sql)}

    def clear(self) -> None:
        self._server.clear(self._name)

    def examples(self, count: int) -> int:
        return max(count // 10, 5)
