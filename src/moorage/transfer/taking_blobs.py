# SPDX-License-Identifier: Apache-2.0
"""Blobs of a distribution folder on their way in: adopted, made durable together, then linked."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from moorage.content.blobs import BlobVanished
from moorage.storage.adoption import check_content, open_regular
from moorage.storage.protocol import WrongContent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from moorage.spec.digests import Digest
    from moorage.spec.names import RepositoryName
    from moorage.storage.protocol import AdoptingStore, StoredBlob
    from moorage.transfer.distribution_tree import DistributionTree
    from moorage.transfer.into import ImportInto


class BlobTaker:
    """Takes blobs into one repository at a time, and remembers what is wrong with some."""

    def __init__(
        self,
        tree: DistributionTree,
        store: AdoptingStore,
        into: ImportInto,
        *,
        copy: bool,
        verify: bool,
    ) -> None:
        self._tree = tree
        self._store = store
        self._blobs = into.content.blobs
        self._actor = into.actor
        self._report = into.report
        self._dry_run = into.dry_run
        self._copy = copy
        self._verify = verify
        self._wrong: dict[Digest, str] = {}
        self._counted: set[Digest] = set()
        self._told: set[tuple[str, Digest]] = set()

    def why_not(self, digest: Digest) -> str:
        """Why a blob was not taken."""
        return self._wrong.get(digest, "it is not in the source")

    async def take(
        self, repository: RepositoryName, digests: Iterable[Digest], linked: set[Digest]
    ) -> None:
        """Give the repository these blobs, and add to `linked` what it got."""
        distinct = dict.fromkeys(digests)
        wanted = [digest for digest in distinct if digest not in linked]
        self._count_present(digest for digest in distinct if digest in linked)
        adopted = await asyncio.gather(*[self._adopt(digest) for digest in wanted])
        new = [stored for stored in adopted if stored is not None]
        if new and not self._dry_run:
            await self._store.settle(new)
        ready = []
        for digest, stored in zip(wanted, adopted, strict=True):
            if digest not in self._wrong:
                ready.append((digest, stored))
            elif (repository, digest) not in self._told:
                self._told.add((repository, digest))
                self._report.skip(repository, f"blob {digest}", self._wrong[digest])
        if not self._dry_run:
            await asyncio.gather(*[self._link(repository, *blob) for blob in ready])
        linked.update(digest for digest, _ in ready if digest not in self._wrong)

    def _count_present(self, digests: Iterable[Digest]) -> None:
        new = set(digests) - self._counted
        self._counted |= new
        self._report.blobs_present += len(new)

    async def _adopt(self, digest: Digest) -> StoredBlob | None:
        """A new blob of the store; None if it has the blob, or cannot have it."""
        if await self._blobs.is_stored(digest):
            self._count_present((digest,))
            return None
        if digest in self._counted or digest in self._wrong:
            return None
        path = self._tree.blob(digest)
        try:
            return await self._adopt_file(path, digest)
        except WrongContent as error:
            self._wrong[digest] = f"it is damaged in the source: {error}"
        except FileNotFoundError:
            self._wrong[digest] = "its content is missing in the source"
        except OSError as error:
            self._wrong[digest] = f"{path} cannot be taken: {error.strerror or error}"
        return None

    async def _adopt_file(self, path: Path, digest: Digest) -> StoredBlob | None:
        stored: StoredBlob | None = None
        if self._dry_run:
            size = await asyncio.to_thread(_inspect, path, digest, verify=self._verify)
            is_link = not self._copy
        else:
            adopted = await self._store.adopt(path, digest, copy=self._copy, verify=self._verify)
            stored, size, is_link = adopted.blob, adopted.blob.size, adopted.linked
        self._counted.add(digest)
        self._report.blobs += 1
        self._report.linked += is_link
        self._report.bytes += size
        return stored

    async def _link(
        self, repository: RepositoryName, digest: Digest, stored: StoredBlob | None
    ) -> None:
        try:
            taken = await self._blobs.add(repository, digest, stored, self._actor)
        except BlobVanished:
            self._wrong[digest] = "it left the registry during the import; import again"
            return
        if stored is not None and not taken:
            await self._store.delete(stored.key)


def _inspect(path: Path, digest: Digest, *, verify: bool) -> int:
    """The size of a file that could be taken."""
    file = open_regular(path)
    try:
        if verify:
            check_content(file, digest)
        return os.fstat(file).st_size
    finally:
        os.close(file)
