# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as the database: the contract, directly and through pgbouncer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_pool import PostgresOptions
from tests.db.contract import DatabaseContract
from tests.support.pgbouncer import pgbouncer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import PostgresServer


class TestContract(DatabaseContract):
    """PostgreSQL does what every engine does."""

    @pytest.fixture(autouse=True)
    def _database(self, postgres_server: PostgresServer, postgres_database: str) -> None:
        self._url = postgres_server.url(postgres_database)

    def make(self) -> PostgresDatabase:
        """Another replica's handle."""
        return PostgresDatabase(PostgresOptions(url=self._url))


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer) -> Iterator[int]:
    """The port of a pgbouncer before the server."""
    with pgbouncer(postgres_server) as port:
        yield port


class TestContractThroughPgbouncer(DatabaseContract):
    """The same with few server connections, which change hands after every transaction."""

    @pytest.fixture(autouse=True)
    def _database(self, pooler: int, postgres_database: str) -> None:
        self._url = f"postgresql://postgres@127.0.0.1:{pooler}/{postgres_database}"

    def make(self) -> PostgresDatabase:
        """Another replica's handle."""
        return PostgresDatabase(PostgresOptions(url=self._url, pgbouncer=True))
