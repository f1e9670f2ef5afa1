# SPDX-License-Identifier: Apache-2.0
"""Fills an empty registry, of whatever engine and store, from a backup.

Bytes first, then the whole catalogue in one transaction: a restore that is killed leaves an empty
registry with bytes in its store, and the next one goes on with those. A catalogue of an older
schema goes through a scratch database, where the migrations since are run on it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moorage.content.records import ManifestRecord, ManifestRecords, RecordName
from moorage.db.older_schema import fill_older
from moorage.db.protocol import NumberingDatabase
from moorage.db.tables import schema_version, table_names
from moorage.lifecycle.backup_folder import DamagedCopy
from moorage.lifecycle.catalogue_file import (
    insert_statement,
    last_event,
    read_catalogue,
    read_table,
    write_catalogue,
)
from moorage.lifecycle.emptiness import is_empty
from moorage.lifecycle.opening import SCRATCH_NAME, scratch_database
from moorage.lifecycle.snapshot_keeping import FILLED
from moorage.lifecycle.together import work_together
from moorage.spec.digests import Digest
from moorage.spec.errors import Unavailable
from moorage.spec.names import RepositoryName
from moorage.storage.protocol import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from moorage.db.protocol import Database, Row, Transaction
    from moorage.lifecycle.backup_folder import BackupFolder, BackupHead
    from moorage.lifecycle.pace import Pace
    from moorage.lifecycle.table_text import Rows
    from moorage.observe.progress import Progress
    from moorage.storage.protocol import BlobStore, StoredBlob

AT_ONCE = 4
RECORDS_AT_ONCE = 16
_EXTENT = "INSERT INTO extents (digest, ordinal, key, size) VALUES ($1, $2, $3, $4)"
_RECORDED = ("repository_id", "digest", "media_type", "pushed_by", "pushed_at", "payload")


@dataclass(slots=True)
class RestoreReport:
    """What was restored; `told` hears of what is missing, as it is found."""

    told: Callable[[str], None]
    rows: dict[str, int] = field(default_factory=dict)
    blobs: int = 0
    bytes: int = 0
    present: int = 0
    missing: list[str] = field(default_factory=list)


class Restore:
    """One restore of a backup into a registry; `scratch` is a folder that is thrown away."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        folder: BackupFolder,
        pace: Pace,
        progress: Progress,
        report: RestoreReport,
        scratch: Path,
    ) -> None:
        self._database = database
        self._store = store
        self._folder = folder
        self._pace = pace
        self._progress = progress
        self._report = report
        self._scratch = scratch
        self._places: dict[str, StoredBlob] = {}

    async def run(self) -> RestoreReport:
        """Restore.

        Raises:
            Unavailable: the backup cannot be used, or the registry is not empty.
        """
        head = self._folder.head()
        if head.schema > schema_version():
            raise Unavailable(
                f"the backup was written by Moorage {head.version} and has schema version "
                f"{head.schema}; this program knows versions up to {schema_version()}: use a newer "
                "one"
            )
        catalogue = self._folder.catalogue(head)
        if not await is_empty(self._database):
            await self._finish_or_refuse(head)
            return self._report
        if head.schema < schema_version():
            catalogue = await self._brought_up_to_date(catalogue, head.schema)
        await self._find_places()
        await self._copy(catalogue, head)
        await self._write_records(catalogue)
        self._progress.begin("writing the catalogue", 0, "items")
        await self._database.transaction(lambda transaction: self._load(transaction, catalogue))
        await self._renumber()
        return self._report

    async def _finish_or_refuse(self, head: BackupHead) -> None:
        """Go on where a restore was killed in its very last step; leave all else alone."""
        if not head.last_event or await last_event(self._database) != head.last_event:
            raise Unavailable(
                "the registry is not empty, and nothing in it was changed: a backup is restored "
                "into a new database only; move the old one away or name another"
            )
        await self._renumber()
        report = self._report
        report.rows, report.bytes = head.rows, head.bytes
        report.blobs = report.present = head.blobs

    async def _renumber(self) -> None:
        if isinstance(self._database, NumberingDatabase):
            await self._database.renumber()

    async def _brought_up_to_date(self, catalogue: Path, version: int) -> Path:
        tables = table_names()
        batches = (
            (insert_statement(found, tables), found.rows) for found in read_catalogue(catalogue)
        )
        older = scratch_database(self._scratch)
        try:
            fill_older(self._scratch / SCRATCH_NAME, version, batches)
        except sqlite3.Error as error:
            raise Unavailable(f"the backup does not fit its schema {version}: {error}") from error
        await older.start()
        try:
            current = self._scratch / "catalogue.gz"
            await write_catalogue(older, current)
        finally:
            await older.close()
        return current

    # Bytes

    async def _find_places(self) -> None:
        """What the store has already: of a restore that was killed, or of a registry that was."""
        self._progress.begin("looking into the store", 0, "items")
        async for blob in self._store.stored():
            self._places[blob.digest] = blob

    async def _copy(self, catalogue: Path, head: BackupHead) -> None:
        self._progress.begin("restoring blobs", head.bytes, "bytes")
        rows = read_table(catalogue, "blobs", "digest", "size")
        blobs = ((Digest.parse(str(digest)), size) for digest, size in rows)
        await work_together(AT_ONCE, blobs, self._copy_one)

    async def _copy_one(self, blob: tuple[Digest, object]) -> None:
        report, (digest, size) = self._report, blob
        assert isinstance(size, int)  # that is what the column holds
        place = self._places.get(digest)
        if place is not None and place.size == size:
            report.present += 1
            self._progress.advance(size)
        else:
            self._places.pop(digest, None)
            try:
                self._places[digest] = await self._store.write(digest, self._paced(digest))
            except (KeyError, DamagedCopy) as error:
                reason = str(error) if isinstance(error, DamagedCopy) else "it is not there"
                report.missing.append(digest)
                report.told(f"{digest} cannot be restored: {reason}")
                return
        report.blobs += 1
        report.bytes += size

    async def _paced(self, digest: Digest) -> AsyncIterator[bytes]:
        async for piece in self._folder.read(digest):
            await self._pace.spent(len(piece))
            self._progress.advance(len(piece))
            yield piece

    # Rows

    async def _write_records(self, catalogue: Path) -> None:
        if not isinstance(self._store, RecordKeeper):
            return
        self._progress.begin("writing records of manifests", 0, "items")
        records, names = ManifestRecords(self._store), dict[object, RepositoryName]()
        for found in read_catalogue(catalogue):
            if found.table == "repositories":
                names |= {key: RepositoryName(str(n)) for key, n in found.picked("id", "name")}
            elif found.table == "manifests":
                await work_together(RECORDS_AT_ONCE, _recorded(found, names), records.write)
        await self._store.put_record(FILLED, b"", durable=True)

    async def _load(self, transaction: Transaction, catalogue: Path) -> None:
        """The whole catalogue; may run more than once, so it counts anew."""
        tables, counts = table_names(), dict[str, int]()
        for found in read_catalogue(catalogue):
            rows = self._kept(found)
            counts[found.table] = counts.get(found.table, 0) + len(rows)
            if rows:
                await transaction.execute_many(insert_statement(found, tables), rows)
            if found.table == "blobs":
                await transaction.execute_many(_EXTENT, self._extents(found))
        self._report.rows = counts

    def _kept(self, found: Rows) -> list[Row]:
        """The rows without what refers to blobs that are lost."""
        if found.table not in {"blobs", "repository_blobs"}:
            return list(found.rows)
        place = found.columns.index("digest")
        return [row for row in found.rows if row[place] in self._places]

    def _extents(self, found: Rows) -> list[Row]:
        return [
            (digest, ordinal, extent.key, extent.size)
            for (digest,) in found.picked("digest")
            if digest in self._places
            for ordinal, extent in enumerate(self._places[str(digest)].extents)
        ]


def _recorded(found: Rows, names: dict[object, RepositoryName]) -> list[ManifestRecord]:
    """The records of the manifests that can be pulled."""
    records = []
    for deleted_at, repository, digest, media_type, pushed_by, pushed_at, payload in found.picked(
        "deleted_at", *_RECORDED
    ):
        if deleted_at is None:
            assert isinstance(pushed_at, int)
            assert isinstance(payload, bytes)  # that is what the columns hold
            name = RecordName(names[repository], Digest(str(digest)), pushed_at)
            records.append(ManifestRecord(name, str(media_type), str(pushed_by), payload))
    return records
