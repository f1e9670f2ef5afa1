# SPDX-License-Identifier: Apache-2.0
"""Repositories: made by the first push into them, listed in the order of their names' bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.changes import Change

if TYPE_CHECKING:
    from moorage.content.changes import Actor, ChangeLog
    from moorage.db.protocol import Database, Transaction
    from moorage.spec.names import RepositoryName

_FIND = "SELECT id FROM repositories WHERE name = $1"
_CREATE = "INSERT INTO repositories (name, created_at) VALUES ($1, $2) RETURNING id"
_LIST = "SELECT name FROM repositories WHERE name > $1 ORDER BY name LIMIT $2"


class Repositories:
    """All repositories of the registry."""

    def __init__(self, database: Database, changes: ChangeLog) -> None:
        self._database = database
        self._changes = changes

    async def exists(self, name: RepositoryName) -> bool:
        """Whether anything was ever pushed here."""
        return await self._database.fetch_one(_FIND, name) is not None

    async def page(self, after: str, limit: int) -> list[str]:
        """Up to `limit` names that come after `after`."""
        return [name for (name,) in await self._database.fetch_all(_LIST, after, limit)]

    async def ensure(
        self, transaction: Transaction, name: RepositoryName, actor: Actor, at: int
    ) -> int:
        """The repository's id; a push creates what is not there."""
        row = await transaction.fetch_one(_FIND, name)
        if row is None:
            row = await transaction.fetch_one(_CREATE, name, at)
            assert row is not None  # RETURNING gives the row that was inserted
            await self._changes.append(transaction, actor, at, Change("repository.created", name))
        repository_id: int = row[0]
        return repository_id
