# SPDX-License-Identifier: Apache-2.0
"""Puts a lost database together again from what lies in the store.

Blobs are known by their own names, manifests by their records, repositories, tags and links by the
newest snapshot. It may be killed and started again: everything is done in small transactions, each
of which may be repeated. Invariant: a repository gets a blob only by the snapshot's word or because
one of its manifests could not have been pushed without.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moorage.content.changes import Change, now
from moorage.lifecycle.emptiness import REBUILT, is_being_rebuilt, is_empty
from moorage.lifecycle.rebuilding_blobs import BlobsAgain
from moorage.lifecycle.rebuilding_manifests import ManifestsAgain
from moorage.lifecycle.rebuilding_names import NamesAgain
from moorage.lifecycle.snapshot_keeping import REBUILDING
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.content.changes import Actor, ChangeLog
    from moorage.db.protocol import Database, Transaction
    from moorage.lifecycle.snapshots import Snapshot
    from moorage.observe.progress import Progress
    from moorage.storage.protocol import BlobStore, RecordKeeper


@dataclass(slots=True)
class RebuildReport:
    """What was put together; `told` hears of everything that is missing, as it is found."""

    told: Callable[[str], None]
    repositories: int = 0
    blobs: int = 0
    bytes: int = 0
    unused: int = 0
    manifests: int = 0
    tags: int = 0
    missing: list[str] = field(default_factory=list)

    def miss(self, message: str) -> None:
        """Something is not there, or not what it should be."""
        self.missing.append(message)
        self.told(message)


class Rebuild:
    """One rebuild of one database."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        keeper: RecordKeeper,
        changes: ChangeLog,
        actor: Actor,
        progress: Progress,
        report: RebuildReport,
    ) -> None:
        self._database = database
        self._changes = changes
        self._actor = actor
        self._report = report
        self._progress = progress
        self._names = NamesAgain(database, report, progress)
        self._blobs = BlobsAgain(database, store, report, progress)
        self._manifests = ManifestsAgain(database, keeper, report, progress)

    async def run(self, snapshot: Snapshot | None, *, verify: bool) -> RebuildReport:
        """Rebuild, with tags if there is a snapshot; `verify` reads every blob.

        Raises:
            Unavailable: the database is not empty.
        """
        await self._begin()
        repositories: dict[object, int] = {}
        if snapshot is not None:
            repositories = await self._names.repositories(snapshot)
        await self._blobs.find(verify=verify)
        if snapshot is not None:
            await self._blobs.find_split(snapshot)
            await self._names.links(snapshot, repositories)
        deleted = await self._names.deleted(snapshot, repositories) if snapshot else set()
        await self._manifests.find(deleted)
        await self._names.forget_tags()
        if snapshot is not None:
            await self._names.tags(snapshot, repositories)
        await self._blobs.forget_unused()
        await self._finish(snapshot)
        return self._report

    async def require_room(self) -> None:
        """Refuse a database that has a registry in it already.

        Raises:
            Unavailable: with what to do.
        """
        if await is_being_rebuilt(self._database) or await is_empty(self._database):
            return
        raise Unavailable(
            "the database is not empty, and nothing in it was changed: to rebuild it, stop the "
            "registry and move the database away (with SQLite: the file and those beside it "
            "that end in -wal and -shm), or name a new one; what was pushed since is found too"
        )

    async def _begin(self) -> None:
        await self.require_room()
        if await is_empty(self._database):
            await self._log(REBUILDING, {})

    async def _finish(self, snapshot: Snapshot | None) -> None:
        report = self._report
        detail: dict[str, object] = {
            "snapshot": snapshot.head.taken_at if snapshot else None,
            "repositories": report.repositories,
            "blobs": report.blobs,
            "manifests": report.manifests,
            "tags": report.tags,
            "missing": len(report.missing),
        }
        await self._log(REBUILT, detail)

    async def _log(self, action: str, detail: dict[str, object]) -> None:
        async def append(transaction: Transaction) -> None:
            change = Change(action, "", detail=detail)
            await self._changes.append(transaction, self._actor, now(), change)

        await self._database.transaction(append)
