# SPDX-License-Identifier: Apache-2.0
"""The manifests of a rebuild: every record beside the blobs, indexed as a push would have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from moorage.content.indexing import index_manifest
from moorage.content.records import FOLDER, ManifestRecord, RecordName
from moorage.content.references import missing_references
from moorage.spec.errors import ManifestInvalid, OCIError
from moorage.spec.manifests import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from moorage.db.protocol import Database, Transaction
    from moorage.lifecycle.rebuilding import RebuildReport
    from moorage.observe.progress import Progress
    from moorage.spec.manifests import Manifest, ManifestReference
    from moorage.storage.protocol import RecordKeeper

    Parsed = tuple[ManifestRecord, Manifest]

# So many are read at once and written in one transaction; each may have 4 MiB.
BATCH = 16

_FIND_REPOSITORY = "SELECT id FROM repositories WHERE name = $1"
_CREATE_REPOSITORY = "INSERT INTO repositories (name, created_at) VALUES ($1, $2) RETURNING id"
_PRESENT = """
    SELECT 1 FROM manifests WHERE repository_id = $1 AND digest = $2 AND deleted_at IS NULL
"""
_LINK = """
    INSERT INTO repository_blobs (repository_id, digest, linked_at)
    SELECT CAST($1 AS BIGINT), digest, CAST($3 AS BIGINT) FROM blobs WHERE digest = $2
    ON CONFLICT (repository_id, digest) DO NOTHING
"""
_COUNTS = """
    SELECT (SELECT count(*) FROM manifests WHERE deleted_at IS NULL),
        (SELECT count(*) FROM repositories)
"""


class ManifestsAgain:
    """Catalogues the recorded manifests."""

    def __init__(
        self, database: Database, keeper: RecordKeeper, report: RebuildReport, progress: Progress
    ) -> None:
        self._database = database
        self._keeper = keeper
        self._report = report
        self._progress = progress

    async def find(self, deleted: Collection[RecordName]) -> None:
        """Catalogue every recorded manifest that is not among the deleted ones."""
        self._progress.begin("reading manifests", 0, "items")
        batch: list[RecordName] = []
        async for text in self._keeper.records(FOLDER):
            name = RecordName.parse(text)
            if name is None:
                self._report.miss(f"the record {text} has no name of ours: not used")
            elif name not in deleted:
                batch.append(name)
            if len(batch) == BATCH:
                await self._add(batch)
                batch = []
        await self._add(batch)
        counts = await self._database.fetch_one(_COUNTS)
        assert counts is not None  # it always has a row
        self._report.manifests, self._report.repositories = int(counts[0]), int(counts[1])

    async def _add(self, names: Sequence[RecordName]) -> None:
        read = await asyncio.gather(*(self._read(name) for name in names))
        found = [parsed for parsed in read if parsed is not None]

        async def add(transaction: Transaction) -> list[str]:
            return [
                message
                for record, manifest in found
                if (message := await _add_one(transaction, record, manifest))
            ]

        if found:
            for message in await self._database.transaction(add, durable=False):
                self._report.miss(message)
        self._progress.advance(len(names))

    async def _read(self, name: RecordName) -> Parsed | None:
        try:
            content = await self._keeper.get_record(str(name))
        except KeyError:
            return None
        try:
            record = ManifestRecord.parse(name, content)
            return record, parse_manifest(record.payload, record.media_type)
        except (ValueError, OCIError) as error:
            self._report.miss(f"the record of {name.digest} in {name.repository}: {error}")
            return None


async def _add_one(transaction: Transaction, record: ManifestRecord, manifest: Manifest) -> str:
    """Index a manifest and link its blobs; return what is wrong with it, or ""."""
    name = record.name
    row = await transaction.fetch_one(_FIND_REPOSITORY, name.repository)
    if row is None:
        row = await transaction.fetch_one(_CREATE_REPOSITORY, name.repository, name.pushed_at)
    assert row is not None  # RETURNING gives the row that was inserted
    repository_id: int = row[0]
    if await transaction.fetch_one(_PRESENT, repository_id, name.digest) is None:
        await index_manifest(
            transaction, repository_id, name, manifest, record.pushed_by, record.payload
        )
    needed = [
        reference
        for reference in manifest.references()
        if reference.required and reference.kind != "child"
    ]
    await transaction.execute_many(
        _LINK,
        [(repository_id, reference.descriptor.digest, name.pushed_at) for reference in needed],
    )
    return await _complaint(transaction, repository_id, name, needed)


async def _complaint(
    transaction: Transaction,
    repository_id: int,
    name: RecordName,
    needed: Sequence[ManifestReference],
) -> str:
    about = f"the manifest {name.digest} of {name.repository}"
    try:
        missing = await missing_references(transaction, repository_id, needed)
    except ManifestInvalid as error:
        return f"{about} cannot be pulled whole: {error}"
    if missing:
        return f"{about} cannot be pulled whole: {', '.join(missing)} is not in the store"
    return ""
