# SPDX-License-Identifier: Apache-2.0
"""What a repository has already: what an import need not do again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.spec.digests import Digest

if TYPE_CHECKING:
    from moorage.db.protocol import Database
    from moorage.spec.names import RepositoryName

_LINKED = """
    SELECT l.digest FROM repository_blobs l JOIN repositories r ON r.id = l.repository_id
    WHERE r.name = $1
"""
_MANIFESTS = """
    SELECT m.digest FROM manifests m JOIN repositories r ON r.id = m.repository_id
    WHERE r.name = $1 AND m.deleted_at IS NULL
"""
_TAGS = """
    SELECT t.name, t.digest FROM tags t JOIN repositories r ON r.id = t.repository_id
    WHERE r.name = $1 AND t.ended_at IS NULL
"""


class Standing:
    """The present state of repositories, one whole repository at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def linked(self, repository: RepositoryName) -> set[Digest]:
        """The blobs that the repository links."""
        rows = await self._database.fetch_all(_LINKED, repository)
        return {Digest(digest) for (digest,) in rows}

    async def manifests(self, repository: RepositoryName) -> set[Digest]:
        """The manifests that can be pulled from it."""
        rows = await self._database.fetch_all(_MANIFESTS, repository)
        return {Digest(digest) for (digest,) in rows}

    async def tags(self, repository: RepositoryName) -> dict[str, Digest]:
        """Its tags and what they point at."""
        rows = await self._database.fetch_all(_TAGS, repository)
        return {name: Digest(digest) for name, digest in rows}
