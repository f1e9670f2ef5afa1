# SPDX-License-Identifier: Apache-2.0
"""Takes over the data of distribution: every blob, manifest and tag, under the digests it has.

Works repository by repository in small batches and skips what is in the registry, so that an
interrupted import goes on where it stopped when it is started again. Invariant: the source is only
read, and nothing gets in that does not hash to its digest, unless the operator vouches for it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from moorage.content.manifests import ManifestPush
from moorage.spec import strict_json
from moorage.spec.digests import Digest
from moorage.spec.errors import OCIError
from moorage.spec.manifests import parse_manifest
from moorage.spec.media_types import INDEX_TYPES
from moorage.transfer.carrying import carrier_for
from moorage.transfer.standing import Standing
from moorage.transfer.taking_blobs import BlobTaker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from moorage.spec.manifests import Manifest, ReferenceKind
    from moorage.spec.names import RepositoryName, TagName
    from moorage.transfer.distribution_source import (
        DistributionSource,
        Revision,
        SourceRepository,
    )
    from moorage.transfer.into import ImportInto

T = TypeVar("T")

# So many go into one sync of the disk; what an interruption costs is one batch of hard links.
BATCH = 64

_SCHEMA1 = (
    "it is of schema 1, which current clients do not read any more; push the image again from a "
    "Docker that still has it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeoverOptions:
    """How to take over; with `move_tags` a tag that points elsewhere by now is moved back.

    `required` are the references that a manifest cannot do without in this registry.
    """

    required: frozenset[ReferenceKind]
    copy: bool = False
    verify: bool = True
    move_tags: bool = False


class Takeover:
    """One import of one source."""

    def __init__(
        self, source: DistributionSource, into: ImportInto, options: TakeoverOptions
    ) -> None:
        self._source = source
        carrier = carrier_for(source, into.store, copy=options.copy, verify=options.verify)
        self._blobs = BlobTaker(carrier, into)
        self._manifests = into.content.manifests
        self._standing = Standing(into.database)
        self._options = options
        self._into = into
        self._report = into.report

    async def run(self) -> None:
        """Take over all repositories."""
        count = await self._source.count()
        self._into.progress.begin("importing repositories", count, "items")
        async for repository in self._source.repositories():
            await self._take_repository(repository)
            self._report.repositories += 1
            self._into.progress.advance(1)

    async def _take_repository(self, source: SourceRepository) -> None:
        repository = source.name
        linked = await self._standing.linked(repository)
        present = await self._standing.manifests(repository)
        indexes: list[Revision] = []
        for batch in _batches(source.revisions()):
            new = [revision for revision in batch if revision.digest not in present]
            self._report.manifests_present += len(batch) - len(new)
            indexes += await self._take_images(repository, new, linked, present)
        for blobs in _batches(source.layers()):
            await self._blobs.take(repository, blobs, linked)
        await self._take_indexes(repository, indexes, present)
        await self._take_tags(source, present)

    async def _take_images(
        self,
        repository: RepositoryName,
        revisions: Sequence[Revision],
        linked: set[Digest],
        present: set[Digest],
    ) -> list[Revision]:
        """Take the images among the revisions, with their blobs; return the indexes."""
        indexes: list[Revision] = []
        images: list[tuple[Revision, list[Digest]]] = []
        manifests = await asyncio.gather(
            *[self._read(repository, revision.digest) for revision in revisions]
        )
        for revision, manifest in zip(revisions, manifests, strict=True):
            if manifest is None:
                continue
            if manifest.media_type in INDEX_TYPES:
                indexes.append(revision)
            else:
                images.append((revision, _blobs_of(manifest)))
        # A link that is missing is mended: the manifest was pushed when the blob was there.
        for blobs in _batches(digest for _, digests in images for digest in digests):
            await self._blobs.take(repository, blobs, linked)
        await asyncio.gather(
            *[
                self._take_manifest(repository, revision, present)
                for revision, digests in images
                if self._is_complete(repository, revision, digests, linked)
            ]
        )
        return indexes

    def _is_complete(
        self,
        repository: RepositoryName,
        revision: Revision,
        digests: Sequence[Digest],
        linked: set[Digest],
    ) -> bool:
        missing = [digest for digest in digests if digest not in linked]
        if not missing or not self._options.required:
            return True
        reason = f"it needs {missing[0]}: {self._blobs.why_not(missing[0])}"
        self._report.skip(repository, f"manifest {revision.digest}", reason)
        return False

    async def _read(self, repository: RepositoryName, digest: Digest) -> Manifest | None:
        what, payload = f"manifest {digest}", b""
        try:
            payload = await self._source.manifest(digest)
            if Digest.of(payload, digest.algorithm) == digest:
                return parse_manifest(payload, None)
            self._report.skip(repository, what, "it is damaged in the source")
        except FileNotFoundError:
            self._report.skip(repository, what, "its content is missing in the source")
        except OSError as error:
            self._report.skip(repository, what, f"it cannot be read: {error.strerror or error}")
        except OCIError as error:
            reason = _SCHEMA1 if _is_schema1(payload) else error.message
            self._report.skip(repository, what, reason)
        return None

    async def _take_indexes(
        self, repository: RepositoryName, indexes: Sequence[Revision], present: set[Digest]
    ) -> None:
        """Take indexes after what they list: an index may list indexes."""
        waiting = {revision.digest: revision for revision in indexes}
        while waiting:
            ready = [
                revision
                for digest, revision in waiting.items()
                if not await self._children(digest) & (waiting.keys() - {digest})
            ]
            for revision in ready:
                await self._take_manifest(repository, revision, present)
                del waiting[revision.digest]

    async def _children(self, digest: Digest) -> set[Digest]:
        manifest = parse_manifest(await self._source.manifest(digest), None)
        return {child.digest for child in manifest.children}

    async def _take_manifest(
        self, repository: RepositoryName, revision: Revision, present: set[Digest]
    ) -> None:
        if await self._push(repository, revision.digest, (), revision.pushed_at):
            present.add(revision.digest)
            self._report.manifests += 1

    async def _take_tags(self, source: SourceRepository, present: set[Digest]) -> None:
        repository = source.name
        standing = await self._standing.tags(repository)
        wanted: dict[Digest, list[TagName]] = defaultdict(list)
        for tag, digest in await source.tags():
            current = standing.get(tag)
            if current == digest:
                self._report.tags_present += 1
            elif digest not in present:
                reason = f"it points at {digest}, which was not imported"
                self._report.skip(repository, f"tag {tag}", reason)
            elif current is not None and not self._options.move_tags:
                reason = f"it points at {current} here; --move-tags moves it to {digest}"
                self._report.skip(repository, f"tag {tag}", reason)
            else:
                wanted[digest].append(tag)
        for batch in _batches(wanted.items()):
            await asyncio.gather(*[self._set(repository, digest, tags) for digest, tags in batch])

    async def _set(
        self, repository: RepositoryName, digest: Digest, tags: Sequence[TagName]
    ) -> None:
        if await self._push(repository, digest, tags):
            self._report.tags += len(tags)

    async def _push(
        self,
        repository: RepositoryName,
        digest: Digest,
        tags: Sequence[TagName],
        pushed_at: int | None = None,
    ) -> bool:
        if self._into.dry_run:
            return True
        try:
            payload = await self._source.manifest(digest)
            push = ManifestPush(payload, None, digest, tags, pushed_at=pushed_at)
            await self._manifests.push(repository, push, self._into.actor)
        except OSError as error:
            reason = f"it cannot be read: {error.strerror or error}"
            self._report.skip(repository, f"manifest {digest}", reason)
        except OCIError as error:
            self._report.skip(repository, f"manifest {digest}", error.message)
        else:
            return True
        return False


def _blobs_of(manifest: Manifest) -> list[Digest]:
    return [
        reference.descriptor.digest for reference in manifest.references() if reference.required
    ]


def _is_schema1(payload: bytes) -> bool:
    """Whether it is a manifest of before 2016, which does not say its type."""
    try:
        document = strict_json.loads(payload)
    except OCIError:
        return False
    return isinstance(document, dict) and document.get("schemaVersion") == 1


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
