# SPDX-License-Identifier: Apache-2.0
"""What a check reads of the catalogue, in pages, beside writers that go on.

A page is short, so that memory stays small and the database's log can be copied away in between.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.spec.digests import Digest
from moorage.spec.names import RepositoryName
from moorage.storage.protocol import Extent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.db.protocol import Database

PAGE = 500
KEY_PAGE = 5000
# A manifest has up to 4 MiB, and a page of them is in memory at once.
MANIFEST_PAGE = 16

_TOTALS = "SELECT count(*), coalesce(sum(size), 0) FROM blobs"
_BLOBS = "SELECT digest, size FROM blobs WHERE digest > $1 ORDER BY digest LIMIT $2"
_EXTENTS = """
    SELECT digest, key, size FROM extents WHERE digest >= $1 AND digest <= $2
    ORDER BY digest, ordinal
"""
_BLOB = "SELECT size FROM blobs WHERE digest = $1"
_KEYS = "SELECT key FROM extents WHERE digest = $1"
_BLOB_KEYS = """
    SELECT key, digest, ordinal FROM extents WHERE (digest, ordinal) > ($1, $2)
    ORDER BY digest, ordinal LIMIT $3
"""
_OTHER_KEYS = "SELECT key FROM upload_extents UNION ALL SELECT key FROM garbage"
_HOLDERS = """
    SELECT r.name FROM repository_blobs l JOIN repositories r ON r.id = l.repository_id
    WHERE l.digest = $1 ORDER BY r.name
"""
_BROKEN_LINKS = """
    SELECT DISTINCT l.digest FROM repository_blobs l
    WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = l.digest)
    ORDER BY l.digest
"""
_MANIFEST_COUNT = "SELECT count(*) FROM manifests WHERE deleted_at IS NULL"
_MANIFESTS = """
    SELECT m.id, r.id, r.name, m.digest, m.media_type, m.payload
    FROM manifests m JOIN repositories r ON r.id = m.repository_id
    WHERE m.deleted_at IS NULL AND m.id > $1 ORDER BY m.id LIMIT $2
"""
_IS_OPEN = "SELECT 1 FROM manifests WHERE id = $1 AND deleted_at IS NULL"
_TAG_COUNT = "SELECT count(*) FROM tags WHERE ended_at IS NULL"
_DANGLING_TAGS = """
    SELECT r.name, t.name, t.digest
    FROM tags t JOIN repositories r ON r.id = t.repository_id
    WHERE t.ended_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM manifests m
        WHERE m.repository_id = t.repository_id AND m.digest = t.digest AND m.deleted_at IS NULL
    )
    ORDER BY r.name, t.name
"""


@dataclass(frozen=True, slots=True)
class CataloguedBlob:
    """What the catalogue says of a blob; no extents mean that it lost track of the bytes."""

    digest: Digest
    size: int
    extents: tuple[Extent, ...]

    @property
    def key(self) -> str | None:
        """Where its bytes begin."""
        return self.extents[0].key if self.extents else None


@dataclass(frozen=True, slots=True)
class CataloguedManifest:
    """A manifest with its payload and the repository it is in."""

    id: int
    repository_id: int
    repository: RepositoryName
    digest: Digest
    media_type: str
    payload: bytes


class Catalogue:
    """The questions of a check."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def totals(self) -> tuple[int, int]:
        """How many blobs there are, and how many bytes they should have."""
        row = await self._database.fetch_one(_TOTALS)
        assert row is not None  # an aggregate always has a row
        return row[0], row[1]

    async def blobs(self) -> AsyncIterator[list[CataloguedBlob]]:
        """All blobs, in pages."""
        after = ""
        while rows := await self._database.fetch_all(_BLOBS, after, PAGE):
            extents = await self._extents(rows[0][0], rows[-1][0])
            yield [
                CataloguedBlob(Digest(digest), size, tuple(extents[digest]))
                for digest, size in rows
            ]
            after = rows[-1][0]

    async def _extents(self, first: str, last: str) -> dict[str, list[Extent]]:
        extents: dict[str, list[Extent]] = defaultdict(list)
        for digest, key, size in await self._database.fetch_all(_EXTENTS, first, last):
            extents[digest].append(Extent(key, size))
        return extents

    async def blob(self, digest: Digest) -> CataloguedBlob | None:
        """One blob as it is known now."""
        row = await self._database.fetch_one(_BLOB, digest)
        if row is None:
            return None
        extents = await self._extents(digest, digest)
        return CataloguedBlob(digest, row[0], tuple(extents[digest]))

    async def knows(self, digest: Digest, key: str) -> bool:
        """Whether the bytes under `key` belong to a blob."""
        return (key,) in await self._database.fetch_all(_KEYS, digest)

    async def all_keys(self) -> set[int]:
        """The hashes of all keys that anything refers to: of blobs, of uploads, on their way out.

        Hashes, because two million keys would fill a gigabyte. Of two keys with one hash the
        second is never told from the first, which here means that a stray object is not found.
        """
        known = {hash(key) for (key,) in await self._database.fetch_all(_OTHER_KEYS)}
        digest, ordinal = "", 0
        while rows := await self._database.fetch_all(_BLOB_KEYS, digest, ordinal, KEY_PAGE):
            known.update(hash(key) for key, _, _ in rows)
            _, digest, ordinal = rows[-1]
        # What was an upload's when we began may have become a blob's behind us, and is known.
        return known

    async def holders(self, digest: Digest) -> list[str]:
        """The repositories that link a blob."""
        return [name for (name,) in await self._database.fetch_all(_HOLDERS, digest)]

    async def broken_links(self) -> list[Digest]:
        """What repositories link although there is no such blob."""
        return [Digest(digest) for (digest,) in await self._database.fetch_all(_BROKEN_LINKS)]

    async def manifest_count(self) -> int:
        """How many manifests can be pulled."""
        row = await self._database.fetch_one(_MANIFEST_COUNT)
        return row[0] if row else 0

    async def manifests(self) -> AsyncIterator[list[CataloguedManifest]]:
        """All manifests that can be pulled, in pages."""
        after = 0
        while rows := await self._database.fetch_all(_MANIFESTS, after, MANIFEST_PAGE):
            yield [
                CataloguedManifest(
                    id_, repository_id, RepositoryName(name), Digest(digest), media_type, payload
                )
                for id_, repository_id, name, digest, media_type, payload in rows
            ]
            after = rows[-1][0]

    async def is_open(self, manifest: CataloguedManifest) -> bool:
        """Whether the manifest can still be pulled."""
        return await self._database.fetch_one(_IS_OPEN, manifest.id) is not None

    async def tag_count(self) -> int:
        """How many tags there are."""
        row = await self._database.fetch_one(_TAG_COUNT)
        return row[0] if row else 0

    async def dangling_tags(self) -> list[tuple[str, str, str]]:
        """Repository, tag and digest of each tag that points at no manifest."""
        return [
            (repository, tag, digest)
            for repository, tag, digest in await self._database.fetch_all(_DANGLING_TAGS)
        ]
