# SPDX-License-Identifier: Apache-2.0
"""Repairs: damaged files set aside, what is known to be lost forgotten, what is there linked again.

Invariant: no byte is destroyed, and each repair is an event in the transaction of the repair. The
catalogue is changed before a file is moved: whoever reads in between gets a 404, never wrong bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.changes import Change, now
from moorage.storage.protocol import QuarantiningStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moorage.content.changes import Actor, ChangeLog
    from moorage.db.protocol import Database, Transaction
    from moorage.lifecycle.catalogue import CataloguedManifest
    from moorage.spec.digests import Digest
    from moorage.storage.protocol import BlobStore, StoredBlob

_KEY = "SELECT key FROM extents WHERE digest = $1 AND ordinal = 0"
_HOLDERS = """
    SELECT r.name FROM repository_blobs l JOIN repositories r ON r.id = l.repository_id
    WHERE l.digest = $1 ORDER BY r.name
"""
_FORGET_LINKS = "DELETE FROM repository_blobs WHERE digest = $1"
_FORGET_EXTENTS = "DELETE FROM extents WHERE digest = $1"
_FORGET_BLOB = "DELETE FROM blobs WHERE digest = $1"
_STORED = "SELECT 1 FROM blobs WHERE digest = $1"
_STORE = """
    INSERT INTO blobs (digest, size, created_at, touched_at) VALUES ($1, $2, $3, $3)
    ON CONFLICT (digest) DO UPDATE SET size = excluded.size, touched_at = excluded.touched_at
"""
_STORE_EXTENT = "INSERT INTO extents (digest, ordinal, key, size) VALUES ($1, 0, $2, $3)"
_LINK = """
    INSERT INTO repository_blobs (repository_id, digest, linked_at) VALUES ($1, $2, $3)
    ON CONFLICT (repository_id, digest) DO NOTHING
"""
_CLOSE_MANIFEST = "UPDATE manifests SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL"


class Repair:
    """What may be done about a finding."""

    def __init__(
        self, database: Database, store: BlobStore, changes: ChangeLog, actor: Actor
    ) -> None:
        self._database = database
        self._quarantine = store if isinstance(store, QuarantiningStore) else None
        self._changes = changes
        self._actor = actor

    async def replace(self, digest: Digest, bad_key: str | None, good: StoredBlob) -> str:
        """Let the blob be another file, one that was found to hash right."""
        at = now()

        async def replace(transaction: Transaction) -> None:
            await transaction.execute(_STORE, digest, good.size, at)
            await transaction.execute(_FORGET_EXTENTS, digest)
            await transaction.execute(_STORE_EXTENT, digest, good.key, good.size)
            await self._tell(transaction, at, "blob.adopted", "", digest, {"file": good.key})

        await self._database.transaction(replace)
        aside = f"; {await self.set_aside(bad_key)}" if bad_key else ""
        return f"its bytes were found in blobs/{good.key} and are used again{aside}"

    async def forget(self, digest: Digest, key: str | None, reason: str) -> str:
        """Make the registry not have the blob, so that the next push stores it anew."""
        at = now()

        async def forget(transaction: Transaction) -> bool:
            row = await transaction.fetch_one(_KEY, digest)
            if row is not None and row[0] != key:
                return False
            for (repository,) in await transaction.fetch_all(_HOLDERS, digest):
                await self._tell(
                    transaction, at, "blob.unlinked", repository, digest, {"reason": reason}
                )
            await transaction.execute(_FORGET_LINKS, digest)
            await transaction.execute(_FORGET_EXTENTS, digest)
            await transaction.execute(_FORGET_BLOB, digest)
            await self._tell(transaction, at, "blob.forgotten", "", digest, {"reason": reason})
            return True

        if not await self._database.transaction(forget):
            return "somebody has pushed it again in the meantime"
        aside = f"{await self.set_aside(key)}, " if key else ""
        return f"{aside}forgotten: the next push of it is stored"

    async def set_aside(self, key: str) -> str:
        """Move what is stored to the quarantine, and say where it is."""
        if self._quarantine is None:
            return f"its object {key} was left where it is"
        moved = await self._quarantine.quarantine(key)
        return f"moved to {moved}" if moved else "there is no file to move"

    async def set_orphan_aside(self, orphan: StoredBlob) -> str:
        """Move a damaged file that no blob uses to the quarantine."""
        said = await self.set_aside(orphan.key)
        at = now()

        async def tell(transaction: Transaction) -> None:
            detail = {"file": orphan.key}
            await self._tell(transaction, at, "blob.quarantined", "", orphan.digest, detail)

        await self._database.transaction(tell)
        return said

    async def relink(
        self, manifest: CataloguedManifest, digest: Digest, good: Sequence[StoredBlob]
    ) -> str:
        """Give a repository back a blob that its manifest needs; "" if the registry has it not.

        `good` are files that hash to the digest although no blob uses them.
        """
        at = now()

        async def link(transaction: Transaction) -> bool:
            if await transaction.fetch_one(_STORED, digest) is None:
                if not good:
                    return False
                await transaction.execute(_STORE, digest, good[0].size, at)
                await transaction.execute(_STORE_EXTENT, digest, good[0].key, good[0].size)
                detail = {"file": good[0].key}
                await self._tell(transaction, at, "blob.adopted", "", digest, detail)
            await transaction.execute(_LINK, manifest.repository_id, digest, at)
            detail = {"manifest": manifest.digest}
            await self._tell(transaction, at, "blob.relinked", manifest.repository, digest, detail)
            return True

        linked = await self._database.transaction(link)
        return "the registry has it; it was linked again" if linked else ""

    async def close(self, manifest: CataloguedManifest, reason: str) -> str:
        """Make a damaged manifest unreadable; its row and its tags stay, for a push to heal."""
        at = now()

        async def close(transaction: Transaction) -> None:
            if await transaction.execute(_CLOSE_MANIFEST, manifest.id, at):
                await self._tell(
                    transaction,
                    at,
                    "manifest.quarantined",
                    manifest.repository,
                    manifest.digest,
                    {"reason": reason},
                )

        await self._database.transaction(close)
        return "closed: the next push of it is stored"

    async def _tell(
        self,
        transaction: Transaction,
        at: int,
        action: str,
        repository: str,
        target: str,
        detail: Mapping[str, object],
    ) -> None:
        change = Change(action, repository, target, detail)
        await self._changes.append(transaction, self._actor, at, change)
