# SPDX-License-Identifier: Apache-2.0
"""How much there is: repositories and tags with their sizes and dates, for people who look.

Sizes are those of stored blobs, each counted once. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.db.protocol import Database

PAGE = 500

_REPOSITORIES = """
    SELECT r.name,
        (SELECT count(*) FROM tags t WHERE t.repository_id = r.id AND t.ended_at IS NULL),
        (SELECT coalesce(sum(b.size), 0) FROM repository_blobs l
            JOIN blobs b ON b.digest = l.digest WHERE l.repository_id = r.id),
        (SELECT max(m.pushed_at) FROM manifests m
            WHERE m.repository_id = r.id AND m.deleted_at IS NULL)
    FROM repositories r WHERE r.name > $1 ORDER BY r.name LIMIT $2
"""
_REPOSITORY = "SELECT id FROM repositories WHERE name = $1"
_TAGS = """
    SELECT t.name, t.digest, t.started_at, m.id, m.media_type, m.pushed_at
    FROM tags t LEFT JOIN manifests m
        ON m.repository_id = t.repository_id AND m.digest = t.digest AND m.deleted_at IS NULL
    WHERE t.repository_id = $1 AND t.ended_at IS NULL AND t.name > $2
    ORDER BY t.name LIMIT $3
"""
_IMAGE_SIZE = """
    WITH RECURSIVE tree (id) AS (
        SELECT m.id FROM manifests m WHERE m.id = $2
        UNION
        SELECT c.id FROM tree
        JOIN manifest_references x ON x.manifest_id = tree.id AND x.kind = 'child'
        JOIN manifests c
            ON c.repository_id = $1 AND c.digest = x.digest AND c.deleted_at IS NULL
    )
    SELECT coalesce(sum(size), 0) FROM (
        SELECT DISTINCT b.digest, b.size
        FROM tree
        JOIN manifest_references x ON x.manifest_id = tree.id AND x.kind <> 'subject'
        JOIN blobs b ON b.digest = x.digest
    ) AS content
"""


@dataclass(frozen=True, slots=True)
class RepositoryUsage:
    """A repository; `pushed_at` is in microseconds, None before the first manifest."""

    name: str
    tags: int
    size: int
    pushed_at: int | None


@dataclass(frozen=True, slots=True)
class TagUsage:
    """A tag and the image under it; times are in microseconds."""

    name: str
    digest: str
    media_type: str
    size: int
    pushed_at: int | None
    tagged_at: int


class Usage:
    """Lists what the registry holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def repositories(self) -> AsyncIterator[RepositoryUsage]:
        """All repositories, in the order of their names."""
        after = ""
        while rows := await self._database.fetch_all(_REPOSITORIES, after, PAGE):
            for row in rows:
                yield RepositoryUsage(*row)
            after = rows[-1][0]

    async def tags(self, repository: str) -> AsyncIterator[TagUsage]:
        """All tags of a repository, in the order of their names.

        Raises:
            KeyError: there is no such repository.
        """
        found = await self._database.fetch_one(_REPOSITORY, repository)
        if found is None:
            raise KeyError(repository)
        repository_id = found[0]
        sizes: dict[int | None, int] = {None: 0}
        after = ""
        while rows := await self._database.fetch_all(_TAGS, repository_id, after, PAGE):
            for name, digest, tagged_at, manifest_id, media_type, pushed_at in rows:
                if manifest_id not in sizes:
                    sizes[manifest_id] = await self._size(repository_id, manifest_id)
                size = sizes[manifest_id]
                yield TagUsage(name, digest, media_type or "", size, pushed_at, tagged_at)
            after = rows[-1][0]

    async def _size(self, repository_id: int, manifest_id: int) -> int:
        row = await self._database.fetch_one(_IMAGE_SIZE, repository_id, manifest_id)
        return row[0] if row else 0
