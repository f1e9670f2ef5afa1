# SPDX-License-Identifier: Apache-2.0
"""distribution's blobs on their way in: carried over, made durable together, then linked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from moorage.content.blobs import BlobVanished
from moorage.storage.protocol import WrongContent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moorage.spec.digests import Digest
    from moorage.spec.names import RepositoryName
    from moorage.storage.protocol import Adopted, StoredBlob
    from moorage.transfer.carrying import Carrier
    from moorage.transfer.into import ImportInto


class BlobTaker:
    """Takes blobs into one repository at a time, and remembers what is wrong with some."""

    def __init__(self, carrier: Carrier, into: ImportInto) -> None:
        self._carrier = carrier
        self._store = into.store
        self._blobs = into.content.blobs
        self._actor = into.actor
        self._report = into.report
        self._dry_run = into.dry_run
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
            await self._carrier.settle(new)
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
        try:
            if not self._dry_run:
                return self._count(await self._carrier.take(digest))
            self._count(await self._carrier.inspect(digest))
        except WrongContent as error:
            self._wrong[digest] = f"it is damaged in the source: {error}"
        except FileNotFoundError:
            self._wrong[digest] = "its content is missing in the source"
        except OSError as error:
            where = f"{error.filename} " if error.filename else "it "
            self._wrong[digest] = f"{where}cannot be taken: {error.strerror or error}"
        return None

    def _count(self, adopted: Adopted) -> StoredBlob:
        self._counted.add(adopted.blob.digest)
        self._report.blobs += 1
        self._report.linked += adopted.linked
        self._report.bytes += adopted.blob.size
        return adopted.blob

    async def _link(
        self, repository: RepositoryName, digest: Digest, stored: StoredBlob | None
    ) -> None:
        try:
            taken = await self._blobs.add(repository, digest, stored, self._actor)
        except BlobVanished:
            self._wrong[digest] = "it left the registry during the import; import again"
            return
        if stored is not None and not taken:
            for extent in stored.extents:
                await self._store.delete(extent.key)
