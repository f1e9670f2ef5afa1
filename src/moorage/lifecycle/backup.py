# SPDX-License-Identifier: Apache-2.0
"""A consistent copy of a registry that goes on serving.

First the catalogue, as it is at one moment; then every blob that it names. That is enough because
no blob is destroyed as long as a backup may take: what a repository gives up after that moment
waits for a day before its bytes go. Where a blob's bytes are is asked when it is its turn, since
they may have been moved in the meantime.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.db.tables import schema_version
from moorage.lifecycle.backup_folder import BackupHead, DamagedCopy, describe
from moorage.lifecycle.catalogue_file import read_table, write_catalogue
from moorage.lifecycle.together import work_together
from moorage.spec.digests import Digest
from moorage.spec.errors import Unavailable
from moorage.storage.extents import read_extents
from moorage.storage.protocol import Extent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from moorage.db.protocol import Database
    from moorage.lifecycle.backup_folder import BackupFolder
    from moorage.lifecycle.pace import Pace
    from moorage.observe.progress import Progress
    from moorage.storage.protocol import BlobStore

_EVENT = "SELECT 1 FROM events WHERE id = $1"
_EXTENTS = "SELECT key, size FROM extents WHERE digest = $1 ORDER BY ordinal"
# Hides the time that a store needs to answer; more would only fight for one disk.
AT_ONCE = 4
# A blob's bytes may be joined, or moved to another store, between asking where they are and going.
TRIES = 3


@dataclass(slots=True)
class BackupReport:
    """What was copied; `told` hears of what is missing, as it is found."""

    told: Callable[[str], None]
    rows: dict[str, int] = field(default_factory=dict)
    blobs: int = 0
    bytes: int = 0
    new_blobs: int = 0
    new_bytes: int = 0
    pruned: int = 0
    missing: list[str] = field(default_factory=list)


class Backup:
    """One backup of a registry into a folder."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        folder: BackupFolder,
        pace: Pace,
        progress: Progress,
        report: BackupReport,
    ) -> None:
        self._database = database
        self._store = store
        self._folder = folder
        self._pace = pace
        self._progress = progress
        self._report = report

    async def run(self, version: str, *, with_blobs: bool, prune: bool) -> BackupReport:
        """Make the backup; `version` is that of the program.

        Raises:
            Unavailable: the folder has a backup of another registry.
        """
        await self._require_same_registry()
        report, begun_at = self._report, now()
        catalogue = self._folder.new_catalogue(begun_at)
        self._progress.begin("reading the catalogue", 0, "items")
        report.rows, last_event = await write_catalogue(self._database, catalogue)
        if with_blobs:
            await self._copy(catalogue)
        self._folder.finish(
            BackupHead(
                format=1,
                version=version,
                schema=schema_version(),
                begun_at=begun_at,
                finished_at=now(),
                catalogue=describe(catalogue),
                rows=report.rows,
                with_blobs=with_blobs,
                blobs=report.blobs,
                bytes=report.bytes,
                last_event=last_event,
                missing=report.missing,
            )
        )
        if prune and with_blobs:
            wanted = {Digest(str(digest)) for (digest,) in read_table(catalogue, "blobs", "digest")}
            report.pruned = self._folder.prune(wanted)
        return report

    async def _require_same_registry(self) -> None:
        # The catalogue of the backup before is deleted when this one is complete. A configuration
        # that names another database, or one that came back empty, must not cost the names in it.
        try:
            before = self._folder.head().last_event
        except Unavailable:
            return  # there is none that could be lost
        if before and await self._database.fetch_one(_EVENT, before) is None:
            raise Unavailable(
                "the backup in this folder knows an event that the registry does not: it is of "
                "another registry, or the database was lost or set back since; correct --config, "
                "name another folder, or move backup.json and the catalogue elsewhere to go on "
                "with the blobs of this one"
            )

    async def _copy(self, catalogue: Path) -> None:
        total = sum(_number(size) for (size,) in read_table(catalogue, "blobs", "size"))
        self._progress.begin("copying blobs", total, "bytes")
        rows = read_table(catalogue, "blobs", "digest", "size")
        blobs = ((Digest(str(digest)), _number(size)) for digest, size in rows)
        await work_together(AT_ONCE, blobs, self._copy_one)

    async def _copy_one(self, blob: tuple[Digest, int]) -> None:
        report, (digest, size) = self._report, blob
        if self._folder.size(digest) == size:
            self._progress.advance(size)
        else:
            reason = await self._fetch(digest)
            if reason:
                report.missing.append(digest)
                report.told(f"{digest} is not in the backup: {reason}")
                return
            report.new_blobs += 1
            report.new_bytes += size
        report.blobs += 1
        report.bytes += size

    async def _fetch(self, digest: Digest) -> str:
        """Copy a blob; return why it cannot be had, or ""."""
        for _ in range(TRIES):
            rows = await self._database.fetch_all(_EXTENTS, digest)
            extents = [Extent(key, size) for key, size in rows]
            if not extents:
                break
            try:
                await self._folder.write(digest, self._paced(extents))
            except KeyError:
                continue
            except DamagedCopy as error:
                return f"{error}; run moorage check"
            return ""
        return "its bytes are not in the store; run moorage check"

    async def _paced(self, extents: list[Extent]) -> AsyncIterator[bytes]:
        size = sum(extent.size for extent in extents)
        async for piece in read_extents(self._store, extents, 0, size):
            await self._pace.spent(len(piece))
            self._progress.advance(len(piece))
            yield piece


def _number(value: object) -> int:
    assert isinstance(value, int)  # that is what the column holds
    return value
