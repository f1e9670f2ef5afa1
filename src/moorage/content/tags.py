# SPDX-License-Identifier: Apache-2.0
"""Tags through time: moving or deleting one closes a row and may open another; none is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.changes import Change, now
from moorage.spec.digests import Digest
from moorage.spec.errors import ManifestUnknown

if TYPE_CHECKING:
    from moorage.content.changes import Actor, ChangeLog
    from moorage.db.protocol import Database, Transaction
    from moorage.spec.names import RepositoryName, TagName

_CURRENT = """
    SELECT digest FROM tags WHERE repository_id = $1 AND name = $2 AND ended_at IS NULL
"""
_CLOSE = """
    UPDATE tags SET ended_at = $3 WHERE repository_id = $1 AND name = $2 AND ended_at IS NULL
"""
_OPEN = """
    INSERT INTO tags (repository_id, name, digest, started_at, actor)
    VALUES ($1, $2, $3, $4, $5)
"""
_CLOSE_ALL = """
    UPDATE tags SET ended_at = $3
    WHERE repository_id = $1 AND digest = $2 AND ended_at IS NULL
    RETURNING name
"""
_DELETE = """
    UPDATE tags SET ended_at = $3
    WHERE name = $2 AND ended_at IS NULL
        AND repository_id = (SELECT id FROM repositories WHERE name = $1)
    RETURNING digest
"""
# One row instead of thousands: a name cannot contain a comma.
_PAGE = """
    SELECT string_agg(name, ',') FROM (
        SELECT t.name FROM tags t
        WHERE t.repository_id = (SELECT id FROM repositories WHERE name = $1)
            AND t.ended_at IS NULL AND t.name > $2
        ORDER BY t.name LIMIT $3
    ) AS page
"""


class Tags:
    """Listing, moving and deleting tags."""

    def __init__(self, database: Database, changes: ChangeLog) -> None:
        self._database = database
        self._changes = changes

    async def page(self, repository: RepositoryName, after: str, limit: int) -> list[str]:
        """Up to `limit` tags whose names come after `after`, in the order of their bytes."""
        row = await self._database.fetch_one(_PAGE, repository, after, limit)
        return row[0].split(",") if row and row[0] else []

    async def current(
        self, transaction: Transaction, repository_id: int, tag: TagName
    ) -> Digest | None:
        """What the tag points at now, or None."""
        row = await transaction.fetch_one(_CURRENT, repository_id, tag)
        return Digest(row[0]) if row else None

    async def move(
        self,
        transaction: Transaction,
        repository_id: int,
        repository: RepositoryName,
        tag: TagName,
        digest: Digest,
        actor: Actor,
        at: int,
    ) -> None:
        """Let the tag point at a manifest; pushing the same again changes nothing."""
        before = await self.current(transaction, repository_id, tag)
        if before == digest:
            return
        if before is not None:
            await transaction.execute(_CLOSE, repository_id, tag, at)
        await transaction.execute(_OPEN, repository_id, tag, digest, at, actor.name)
        action = "tag.created" if before is None else "tag.moved"
        change = Change(action, repository, tag, {"before": before, "after": digest})
        await self._changes.append(transaction, actor, at, change)

    async def delete(self, repository: RepositoryName, tag: TagName, actor: Actor) -> None:
        """Close the tag; its manifest stays (end-9).

        Raises:
            ManifestUnknown: there is no such tag.
        """
        at = now()

        async def close(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_DELETE, repository, tag, at)
            if row is None:
                raise ManifestUnknown(detail={"name": repository, "tag": tag})
            change = Change("tag.deleted", repository, tag, {"before": row[0]})
            await self._changes.append(transaction, actor, at, change)

        await self._database.transaction(close)

    async def close_all(
        self,
        transaction: Transaction,
        repository_id: int,
        repository: RepositoryName,
        digest: Digest,
        actor: Actor,
        at: int,
    ) -> None:
        """Close every tag that points at a manifest that is going away."""
        for (name,) in await transaction.fetch_all(_CLOSE_ALL, repository_id, digest, at):
            change = Change("tag.deleted", repository, name, {"before": digest})
            await self._changes.append(transaction, actor, at, change)
