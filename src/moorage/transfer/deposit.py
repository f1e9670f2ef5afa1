# SPDX-License-Identifier: Apache-2.0
"""Puts the blobs and manifests of a layout into the registry, by the way that every push takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.blobs import BlobVanished
from moorage.content.manifests import ManifestPush
from moorage.content.uploads import Chunk
from moorage.spec.digests import Digest, digest_from, new_hasher
from moorage.spec.errors import BlobUnknown, DigestInvalid, ManifestUnknown, SizeInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from moorage.spec.names import RepositoryName, TagName
    from moorage.transfer.files import Files
    from moorage.transfer.into import ImportInto


class Deposit:
    """Takes content of one source; a dry run reads and checks all of it and keeps nothing."""

    def __init__(self, files: Files, into: ImportInto) -> None:
        self._files = files
        self._content = into.content
        self._actor = into.actor
        self._progress = into.progress
        self._report = into.report
        self._dry_run = into.dry_run
        self._checked: set[Digest] = set()

    async def blob(self, repository: RepositoryName, digest: Digest, size: int, name: str) -> None:
        """Give the repository the blob in the file `name`, which must exist.

        Raises:
            DigestInvalid: the file hashes to something else.
            SizeInvalid: it has another size than its descriptor says.
        """
        actual = self._files.size(name)
        if actual != size:
            raise SizeInvalid(f"{digest} has {actual} bytes, not {size}: the source is damaged")
        if await self._is_linked(repository, digest) or await self._link(repository, digest):
            self._report.blobs_present += 1
        elif not self._dry_run:
            chunk = Chunk(self._watched(name))
            await self._content.uploads.push(repository, digest, chunk, self._actor)
            self._count(size)
        elif digest not in self._checked:
            await self._check(digest, name)
            self._checked.add(digest)
            self._count(size)

    def _count(self, size: int) -> None:
        self._report.blobs += 1
        self._report.bytes += size

    async def _is_linked(self, repository: RepositoryName, digest: Digest) -> bool:
        try:
            await self._content.blobs.find(repository, digest)
        except BlobUnknown:
            return False
        return True

    async def _link(self, repository: RepositoryName, digest: Digest) -> bool:
        """Link what the registry has in another repository; False if it has it not."""
        blobs = self._content.blobs
        if not await blobs.is_stored(digest):
            return False
        try:
            if not self._dry_run:
                await blobs.add(repository, digest, None, self._actor)
        except BlobVanished:
            return False
        return True

    async def _check(self, digest: Digest, name: str) -> None:
        hasher = new_hasher(digest.algorithm)
        async for piece in self._watched(name):
            hasher.update(piece)
        actual = digest_from(digest.algorithm, hasher)
        if actual != digest:
            raise DigestInvalid(f"{digest} hashes to {actual}: the source is damaged")

    async def _watched(self, name: str) -> AsyncIterator[bytes]:
        async for piece in self._files.pieces(name):
            self._progress.advance(len(piece))
            yield piece

    async def manifest(
        self,
        repository: RepositoryName,
        payload: bytes,
        media_type: str,
        digest: Digest,
        tags: Sequence[TagName],
    ) -> None:
        """Give the repository a manifest, after everything that it refers to.

        Raises:
            OCIError: the registry would refuse its push.
        """
        if Digest.of(payload, digest.algorithm) != digest:
            raise DigestInvalid(f"the manifest {digest} is damaged in the source")
        try:
            await self._content.manifests.head(repository, digest)
            self._report.manifests_present += 1
        except ManifestUnknown:
            self._report.manifests += 1
        new = [tag for tag in tags if not await self._is_tagged(repository, tag, digest)]
        if not self._dry_run:
            push = ManifestPush(payload, media_type, digest, tags)
            await self._content.manifests.push(repository, push, self._actor)
        self._report.tags += len(new)
        self._report.tags_present += len(tags) - len(new)

    async def _is_tagged(self, repository: RepositoryName, tag: TagName, digest: Digest) -> bool:
        try:
            return (await self._content.manifests.head(repository, tag)).digest == digest
        except ManifestUnknown:
            return False
