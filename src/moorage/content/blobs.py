# SPDX-License-Identifier: Apache-2.0
"""Blobs: content once for the whole registry, readable only through a repository that links it.

Invariant: a link exists only for a blob whose bytes were durable and checked before the link was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.content.changes import Change, now
from moorage.http.content import FileContent, StreamContent
from moorage.spec.errors import BlobUnknown, Unknown
from moorage.storage.extents import read_extents
from moorage.storage.protocol import Extent, LocalFiles, SigningStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.content.changes import Actor, ChangeLog
    from moorage.content.repositories import Repositories
    from moorage.db.protocol import Database, Transaction
    from moorage.http.content import Content
    from moorage.spec.digests import Digest
    from moorage.spec.names import RepositoryName
    from moorage.storage.protocol import BlobStore, StoredBlob

# The repository first and by itself: joined, PostgreSQL may begin at the digest, and a popular base
# layer is linked by as many repositories as there are.
_FIND = """
    SELECT b.size, e.key, e.size
    FROM repository_blobs l
    JOIN blobs b ON b.digest = l.digest
    JOIN extents e ON e.digest = l.digest AND e.ordinal = 0
    WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $1) AND l.digest = $2
"""
_STORED = "SELECT size FROM blobs WHERE digest = $1"
_STORE = """
    INSERT INTO blobs (digest, size, created_at, touched_at) VALUES ($1, $2, $3, $3)
    ON CONFLICT (digest) DO NOTHING
"""
_STORE_EXTENT = "INSERT INTO extents (digest, ordinal, key, size) VALUES ($1, $2, $3, $4)"
_EXTENTS = "SELECT key, size FROM extents WHERE digest = $1 ORDER BY ordinal"
_TOUCH = "UPDATE blobs SET touched_at = $2 WHERE digest = $1"
_LINK = """
    INSERT INTO repository_blobs (repository_id, digest, linked_at) VALUES ($1, $2, $3)
    ON CONFLICT (repository_id, digest) DO NOTHING
"""
_UNLINK = """
    DELETE FROM repository_blobs
    WHERE digest = $2 AND repository_id = (SELECT id FROM repositories WHERE name = $1)
"""
_HOLDERS = """
    SELECT r.name FROM repository_blobs l JOIN repositories r ON r.id = l.repository_id
    WHERE l.digest = $1 ORDER BY l.repository_id LIMIT $2
"""
_FORGET_UPLOAD = "DELETE FROM uploads WHERE session = $1"

# A mount without a source looks into so many repositories for one that the client may read.
MAX_MOUNT_SOURCES = 100


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that its repository links: what it is and where its bytes begin.

    It is whole when they are all in that one object.
    """

    digest: Digest
    size: int
    key: str
    whole: bool


class BlobVanished(Exception):
    """The blob was collected while somebody was about to link it."""


class Blobs:
    """Reading, linking and unlinking blobs."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        repositories: Repositories,
        changes: ChangeLog,
    ) -> None:
        self._database = database
        self._store = store
        self._files = store if isinstance(store, LocalFiles) else None
        self._signing = store if isinstance(store, SigningStore) else None
        self._repositories = repositories
        self._changes = changes

    async def find(self, repository: RepositoryName, digest: Digest) -> Blob:
        """The blob, if this repository links it.

        Raises:
            BlobUnknown: it does not.
        """
        row = await self._database.fetch_one(_FIND, repository, digest)
        if row is None:
            raise BlobUnknown(detail={"digest": digest})
        size, key, first_size = row
        return Blob(digest, size, key, first_size == size)

    async def open(self, blob: Blob, start: int, stop: int) -> Content:
        """The blob's bytes, for a reply to send, which begins with those from `start` to `stop`.

        Raises:
            Unknown: the store has lost them.
            Unavailable: the store does not answer.
        """
        try:
            if self._files is not None and blob.whole:
                file = self._files.open(blob.key)
                if file is not None:
                    return FileContent(file)
            extents = [Extent(blob.key, blob.size)] if blob.whole else await self._extents(blob)
            if sum(extent.size for extent in extents) != blob.size:
                raise KeyError(blob.key)  # noqa: TRY301 (as when the store has lost it)
            content = StreamContent(
                lambda start, stop: read_extents(self._store, extents, start, stop)
            )
            await content.prepare(start, stop)
        except KeyError:
            message = (
                f"The registry has lost the bytes of {blob.digest}; "
                "its operator should run `moorage check --repair`."
            )
            raise Unknown(message) from None
        return content

    async def url(self, blob: Blob) -> str | None:
        """Where a client may fetch the blob without us; None when it must come from here."""
        if self._signing is None or not blob.whole:
            return None
        return await self._signing.signed_url(blob.key)

    async def _extents(self, blob: Blob) -> list[Extent]:
        rows = await self._database.fetch_all(_EXTENTS, blob.digest)
        return [Extent(key, size) for key, size in rows]

    async def is_stored(self, digest: Digest) -> bool:
        """Whether the registry has the content, in whatever repository."""
        return await self._database.fetch_one(_STORED, digest) is not None

    async def mount(
        self,
        repository: RepositoryName,
        digest: Digest,
        source: RepositoryName | None,
        may_read: Callable[[RepositoryName], bool],
        actor: Actor,
    ) -> bool:
        """Link a blob that is readable elsewhere (end-11); False when it is nowhere to be had.

        Without a source every repository that the client may read counts. What is in the
        repository already is there, whatever the source.
        """
        origin: RepositoryName | None = repository
        if await self._database.fetch_one(_FIND, repository, digest) is None:
            origin = await self._mount_source(digest, source, may_read)
        if origin is None:
            return False
        at = now()

        async def link(transaction: Transaction) -> None:
            if await transaction.fetch_one(_FIND, origin, digest) is None:
                raise BlobVanished
            repository_id = await self._repositories.ensure(transaction, repository, actor, at)
            await transaction.execute(_TOUCH, digest, at)
            if await transaction.execute(_LINK, repository_id, digest, at):
                change = Change("blob.mounted", repository, digest, {"from": origin})
                await self._changes.append(transaction, actor, at, change)

        try:
            await self._database.transaction(link)
        except BlobVanished:
            return False
        return True

    async def _mount_source(
        self,
        digest: Digest,
        source: RepositoryName | None,
        may_read: Callable[[RepositoryName], bool],
    ) -> RepositoryName | None:
        if source is not None:
            linked = await self._database.fetch_one(_FIND, source, digest)
            return source if linked and may_read(source) else None
        holders = await self._database.fetch_all(_HOLDERS, digest, MAX_MOUNT_SOURCES)
        return next((name for (name,) in holders if may_read(name)), None)

    async def add(
        self,
        repository: RepositoryName,
        digest: Digest,
        stored: StoredBlob | None,
        actor: Actor,
        session: str | None = None,
    ) -> bool:
        """Link a blob that was just pushed, and end its upload session.

        `stored` is where the push has put the bytes, or None when the registry had them already.

        Returns:
            Whether `stored` was taken; otherwise it is a second copy that nobody needs.

        Raises:
            BlobVanished: nothing was stored because the registry had the bytes, and now has not.
        """
        at = now()

        async def link(transaction: Transaction) -> bool:
            taken = await self.add_in(transaction, repository, digest, stored, actor, at)
            if session is not None:
                await transaction.execute(_FORGET_UPLOAD, session)
            return taken

        return await self._database.transaction(link)

    async def add_in(
        self,
        transaction: Transaction,
        repository: RepositoryName,
        digest: Digest,
        stored: StoredBlob | None,
        actor: Actor,
        at: int,
    ) -> bool:
        """What `add` does, as a part of a transaction."""
        taken = await self._store_row(transaction, digest, stored, at)
        repository_id = await self._repositories.ensure(transaction, repository, actor, at)
        if await transaction.execute(_LINK, repository_id, digest, at):
            change = Change("blob.pushed", repository, digest)
            await self._changes.append(transaction, actor, at, change)
        return taken

    async def _store_row(
        self, transaction: Transaction, digest: Digest, stored: StoredBlob | None, at: int
    ) -> bool:
        if stored is not None and await transaction.execute(_STORE, digest, stored.size, at):
            for ordinal, extent in enumerate(stored.extents):
                await transaction.execute(_STORE_EXTENT, digest, ordinal, extent.key, extent.size)
            return True
        if not await transaction.execute(_TOUCH, digest, at):
            raise BlobVanished
        return False

    async def unlink(self, repository: RepositoryName, digest: Digest, actor: Actor) -> None:
        """Take the blob out of this repository (end-10); a collector sees to the bytes later.

        Raises:
            BlobUnknown: the repository does not link it.
        """
        at = now()

        async def unlink(transaction: Transaction) -> None:
            if not await transaction.execute(_UNLINK, repository, digest):
                raise BlobUnknown(detail={"digest": digest})
            change = Change("blob.deleted", repository, digest)
            await self._changes.append(transaction, actor, at, change)

        await self._database.transaction(unlink)
