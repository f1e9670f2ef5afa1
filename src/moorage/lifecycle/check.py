# SPDX-License-Identifier: Apache-2.0
"""The check: whether all that the catalogue promises is there, and is what it says it is.

It runs beside a registry that serves. What looks wrong is therefore looked at again before it is
called a finding: the blob may have been healed, the manifest deleted, the upload committed since.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.content.references import missing_references
from moorage.lifecycle.catalogue import Catalogue
from moorage.lifecycle.findings import CheckReport, Finding
from moorage.lifecycle.inspection import Inspector
from moorage.spec.digests import Digest
from moorage.spec.errors import OCIError
from moorage.spec.manifests import parse_manifest
from moorage.storage.protocol import Extent, ListingStore, StoredBlob

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.db.protocol import Database
    from moorage.lifecycle.catalogue import CataloguedBlob, CataloguedManifest
    from moorage.lifecycle.inspection import Verdict
    from moorage.lifecycle.repair import Repair
    from moorage.observe.progress import Progress
    from moorage.spec.manifests import ManifestReference, ReferenceKind
    from moorage.storage.protocol import BlobStore

# A finished upload has its file for a moment before it has its row; an hour is far beyond that.
ORPHAN_GRACE_SECONDS = 3600.0
_MICROSECONDS = 1_000_000
_NAMED_HOLDERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How to check; `required` are the references that a manifest cannot do without."""

    required: frozenset[ReferenceKind]
    quick: bool = False
    threads: int = 2
    orphan_grace: float = ORPHAN_GRACE_SECONDS


class Check:
    """One run over everything."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        options: CheckOptions,
        progress: Progress,
        found: Callable[[Finding], None],
        repair: Repair | None = None,
    ) -> None:
        """`found` hears of every finding at once; without `repair` nothing is changed."""
        self._database = database
        self._catalogue = Catalogue(database)
        self._store = store
        self._options = options
        self._progress = progress
        self._tell = found
        self._repair = repair
        self._report = CheckReport()
        self._orphans: dict[Digest, list[StoredBlob]] = defaultdict(list)
        self._inspector = Inspector(store, options.threads, progress.advance, quick=options.quick)

    async def run(self) -> CheckReport:
        """Look at what is stored, at blobs, links, manifests and tags, in this order."""
        listing = self._store if isinstance(self._store, ListingStore) else None
        with self._inspector:
            if listing is None:
                await self._find_orphans()
            await self._check_blobs()
            await self._check_links()
            await self._check_manifests()
            await self._check_tags()
            await self._report_orphans()
            if listing is not None:
                await self._report_strays(listing)
        return self._report

    def _found(self, finding: Finding) -> None:
        self._report.findings.append(finding)
        self._tell(finding)

    # Files

    async def _find_orphans(self) -> None:
        self._progress.begin("listing files", 0, "items")
        async for stored in self._store.stored():
            if not await self._catalogue.knows(stored.digest, stored.key):
                self._orphans[stored.digest].append(stored)
            self._progress.advance(1)

    async def _report_orphans(self) -> None:
        """Report what is still nobody's at the end; damaged ones may go to the quarantine."""
        youngest = now() - int(self._options.orphan_grace * _MICROSECONDS)
        for orphans in self._orphans.values():
            for orphan in orphans:
                verdict = await self._inspector.look(orphan.digest, orphan.extents, orphan.size)
                if verdict.state == "lost" or verdict.changed_at > youngest:
                    continue
                if await self._catalogue.knows(orphan.digest, orphan.key):
                    continue
                await self._report_orphan(orphan, verdict)

    async def _report_strays(self, listing: ListingStore) -> None:
        """Report objects that nothing refers to; those of a push that goes on are younger."""
        youngest = now() - int(self._options.orphan_grace * _MICROSECONDS)
        known = await self._catalogue.all_keys()
        self._progress.begin("listing objects", 0, "items")
        async for stored in listing.objects():
            self._progress.advance(1)
            if hash(stored.key) in known or stored.modified_at > youngest:
                continue
            self._found(
                Finding(
                    "blob-orphan",
                    f"the object {stored.key} ({stored.size} bytes) belongs to no blob",
                    file=stored.key,
                    size=stored.size,
                )
            )

    async def _report_orphan(self, orphan: StoredBlob, verdict: Verdict) -> None:
        reason = f" and {verdict.reason}" if verdict.reason else ""
        repair = ""
        if verdict.state != "whole" and self._repair is not None:
            repair = await self._repair.set_orphan_aside(orphan)
        self._found(
            Finding(
                "blob-orphan",
                f"the file blobs/{orphan.key} ({orphan.size} bytes) belongs to no blob{reason}",
                digest=orphan.digest,
                file=orphan.key,
                size=orphan.size,
                repair=repair,
            )
        )

    async def _good_orphan(self, digest: Digest) -> list[StoredBlob]:
        """A file with the digest's bytes that no blob uses: one or none."""
        for orphan in self._orphans.get(digest, ()):
            verdict = await self._inspector.look(
                digest, orphan.extents, orphan.size, thoroughly=True
            )
            if verdict.state == "whole":
                return [orphan]
        return []

    # Blobs

    async def _check_blobs(self) -> None:
        count, size = await self._catalogue.totals()
        if self._options.quick:
            self._progress.begin("comparing blobs", count, "items")
        else:
            self._progress.begin("reading blobs", size, "bytes")
        async for page in self._catalogue.blobs():
            await asyncio.gather(*[self._check_blob(blob) for blob in page])
            if self._options.quick:
                self._progress.advance(len(page))

    async def _check_blob(self, blob: CataloguedBlob) -> None:
        self._report.blobs += 1
        verdict = await self._inspector.look(blob.digest, blob.extents, blob.size)
        if verdict.state != "whole":
            current = await self._catalogue.blob(blob.digest)
            if current is None:
                return
            if current != blob:
                verdict = await self._inspector.look(current.digest, current.extents, current.size)
        self._report.bytes += 0 if self._options.quick else verdict.size
        if verdict.state != "whole":
            await self._report_blob(blob, verdict)

    async def _report_blob(self, blob: CataloguedBlob, verdict: Verdict) -> None:
        holders = await self._catalogue.holders(blob.digest)
        kind = {"lost": "blob-lost", "size": "blob-size"}.get(verdict.state, "blob-damaged")
        finding = Finding(
            kind,  # type: ignore[arg-type] # one of three literals
            f"{blob.digest} ({_named(holders)}): {verdict.reason}",
            digest=blob.digest,
            file=blob.key or "",
            size=blob.size,
        )
        if self._repair is not None:
            bad_key = None if verdict.state == "lost" else blob.key
            good = await self._good_orphan(blob.digest)
            if not good and await self._is_whole_at(blob, verdict):
                bad_key, good = None, [StoredBlob(blob.key or "", blob.digest, verdict.size)]
            if good:
                repaired = await self._repair.replace(blob.digest, bad_key, good[0])
            else:
                repaired = await self._repair.forget(blob.digest, blob.key, verdict.reason)
            finding = replace(finding, repair=repaired)
        self._found(finding)

    async def _is_whole_at(self, blob: CataloguedBlob, verdict: Verdict) -> bool:
        """Whether the file is right and only the size in the catalogue is wrong."""
        if verdict.state != "size" or len(blob.extents) != 1:
            return False
        extents = (Extent(blob.extents[0].key, verdict.size),)
        again = await self._inspector.look(blob.digest, extents, verdict.size, thoroughly=True)
        return again.state == "whole"

    async def _check_links(self) -> None:
        for digest in await self._catalogue.broken_links():
            holders = await self._catalogue.holders(digest)
            finding = Finding(
                "link-broken",
                f"{digest} ({_named(holders)}): linked, but there is no such blob",
                digest=digest,
            )
            if self._repair is not None:
                good = await self._good_orphan(digest)
                if good:
                    repaired = await self._repair.replace(digest, None, good[0])
                else:
                    repaired = await self._repair.forget(digest, None, "there is no such blob")
                finding = replace(finding, repair=repaired)
            self._found(finding)

    # Manifests and tags

    async def _check_manifests(self) -> None:
        self._progress.begin("checking manifests", await self._catalogue.manifest_count(), "items")
        async for page in self._catalogue.manifests():
            for manifest in page:
                await self._check_manifest(manifest)
                self._progress.advance(1)

    async def _check_manifest(self, manifest: CataloguedManifest) -> None:
        self._report.manifests += 1
        actual = Digest.of(manifest.payload, manifest.digest.algorithm)
        if actual != manifest.digest:
            await self._report_manifest(manifest, f"its bytes hash to {actual}")
            return
        try:
            missing = await self._missing(manifest)
            if missing and not await self._catalogue.is_open(manifest):
                return
        except OCIError as error:
            self._found(
                Finding(
                    "manifest-damaged",
                    f"{manifest.repository}@{manifest.digest}: {error.message}",
                    digest=manifest.digest,
                    repository=manifest.repository,
                )
            )
            return
        for digest in missing:
            await self._report_missing(manifest, digest)

    async def _missing(self, manifest: CataloguedManifest) -> list[Digest]:
        required: list[ManifestReference] = [
            reference
            for reference in parse_manifest(manifest.payload, manifest.media_type).references()
            if reference.required and reference.kind in self._options.required
        ]
        missing = await missing_references(self._database, manifest.repository_id, required)
        return list(dict.fromkeys(missing))

    async def _report_manifest(self, manifest: CataloguedManifest, reason: str) -> None:
        if not await self._catalogue.is_open(manifest):
            return
        repaired = await self._repair.close(manifest, reason) if self._repair else ""
        self._found(
            Finding(
                "manifest-damaged",
                f"{manifest.repository}@{manifest.digest}: {reason}",
                digest=manifest.digest,
                repository=manifest.repository,
                repair=repaired,
            )
        )

    async def _report_missing(self, manifest: CataloguedManifest, digest: Digest) -> None:
        repaired = ""
        if self._repair is not None:
            good = await self._good_orphan(digest)
            repaired = await self._repair.relink(manifest, digest, good)
        self._found(
            Finding(
                "reference-missing",
                f"{manifest.repository}@{manifest.digest} needs {digest}, which is not in the "
                "repository; push the image again",
                digest=digest,
                repository=manifest.repository,
                repair=repaired,
            )
        )

    async def _check_tags(self) -> None:
        self._report.tags = await self._catalogue.tag_count()
        for repository, tag, digest in await self._catalogue.dangling_tags():
            self._found(
                Finding(
                    "tag-dangling",
                    f"{repository}:{tag} points at {digest}, which is not in the repository; "
                    "push the image again or delete the tag",
                    digest=digest,
                    repository=repository,
                    tag=tag,
                )
            )


def _named(holders: list[str]) -> str:
    if not holders:
        return "in no repository"
    rest = len(holders) - _NAMED_HOLDERS
    more = f" and {rest} more" if rest > 0 else ""
    return f"in {', '.join(holders[:_NAMED_HOLDERS])}{more}"
