# SPDX-License-Identifier: Apache-2.0
"""Uploads into a store that lets a file grow: one file a session, which becomes the blob.

One request at a time holds the file, whichever process serves it. What a killed process had written
beyond the catalogue's row is cut off by the next request.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from moorage.content.blobs import BlobVanished
from moorage.content.changes import now
from moorage.content.hashing import RunningHashes
from moorage.content.uploads import (
    LONGER,
    SHORTER,
    UploadConflict,
    Uploads,
    new_upload,
    require_digest,
)
from moorage.spec.digests import digest_from, new_hasher
from moorage.spec.errors import (
    BlobUploadUnknown,
    DigestInvalid,
    InsufficientStorage,
    RangeInvalid,
    SizeInvalid,
)
from moorage.spec.uploads import expected_chunk
from moorage.storage.protocol import UploadBusy, UploadLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.content.blobs import Blobs
    from moorage.content.changes import Actor
    from moorage.content.uploads import Chunk, Upload
    from moorage.db.protocol import Database, Transaction
    from moorage.spec.digests import Digest
    from moorage.spec.names import RepositoryName
    from moorage.storage.protocol import AppendableStore, StoredBlob, UploadFile

_RECORD = """
    UPDATE uploads SET received = $2, digest_so_far = $3, touched_at = $4 WHERE session = $1
"""
_FORGET = "DELETE FROM uploads WHERE session = $1"
_IDLE = "SELECT session FROM uploads WHERE touched_at < $1"
_KNOWN = "SELECT 1 FROM uploads WHERE session = $1"
_TOUCHED = "SELECT 1 FROM uploads WHERE session = $1 AND touched_at >= $2"


class FileUploads(Uploads):
    """Uploads over an `AppendableStore`."""

    def __init__(self, database: Database, store: AppendableStore, blobs: Blobs, boot: str) -> None:
        super().__init__(database, boot)
        self._store = store
        self._blobs = blobs
        self._hashes = RunningHashes(store.hash_upload)

    async def status(self, repository: RepositoryName, session: str) -> Upload:
        try:
            async with self._held(repository, session) as (upload, _):
                return upload
        except UploadConflict as conflict:
            return conflict.upload

    async def append(self, repository: RepositoryName, session: str, chunk: Chunk) -> Upload:
        async with self._held(repository, session) as (upload, file):
            return await self._receive(upload, file, chunk)

    async def finish(
        self,
        repository: RepositoryName,
        session: str,
        digest: Digest,
        chunk: Chunk,
        actor: Actor,
    ) -> None:
        async with self._held(repository, session) as (before, file):
            upload = await self._receive(before, file, chunk, digest.algorithm)
            actual = await self._digest(upload, digest.algorithm)
            try:
                require_digest(digest, actual, upload.received)
            except DigestInvalid:
                await self._drop(session)
                raise
            await self._commit(upload, digest, actor)

    async def push(
        self, repository: RepositoryName, digest: Digest, chunk: Chunk, actor: Actor
    ) -> None:
        upload = new_upload(repository, digest.algorithm)
        try:
            with self._store.append(upload.session) as file:
                upload = await self._store_all(upload, file, chunk, digest.algorithm)
                require_digest(digest, upload.digest_so_far, upload.received)
                await self._commit(upload, digest, actor)
        except BaseException:
            await self._store.discard(upload.session)
            raise

    async def cancel(self, repository: RepositoryName, session: str) -> None:
        await self.find(repository, session)
        await self._drop(session)

    async def purge(self, idle_since: int, *, dry_run: bool = False) -> int:
        idle = await self._database.fetch_all(_IDLE, idle_since)
        if dry_run:
            return len(idle)
        dropped = 0
        for (session,) in idle:
            with suppress(UploadBusy), self._store.append(session):
                # Its client may have come back before it was held.
                if await self._database.fetch_one(_TOUCHED, session, idle_since) is None:
                    await self._drop(session)
                    dropped += 1
        async for left in self._store.unfinished():
            if left.touched_at < idle_since and not await self._is_known(left.session):
                with suppress(UploadBusy), self._store.append(left.session):
                    await self._store.discard(left.session)
        return dropped

    @asynccontextmanager
    async def _held(
        self, repository: RepositoryName, session: str
    ) -> AsyncIterator[tuple[Upload, UploadFile]]:
        """The session and its bytes, for this request alone.

        What the catalogue says is read again once nobody else can change it. A session with fewer
        bytes than recorded was being finished when the process died: it cannot be trusted.
        """
        upload = await self.find(repository, session)
        try:
            with self._store.append(session) as file:
                try:
                    upload = await self.find(repository, session)
                except BlobUploadUnknown:
                    await self._store.discard(session)
                    raise
                if file.size < upload.received:
                    await self._drop(session)
                    raise BlobUploadUnknown
                yield upload, file
        except UploadBusy:
            raise UploadConflict.busy(upload) from None

    async def _receive(
        self, upload: Upload, file: UploadFile, chunk: Chunk, algorithm: str | None = None
    ) -> Upload:
        """Take the body as it comes; whatever ends it, record exactly what is there."""
        try:
            expected = expected_chunk(upload.received, chunk.content_range, chunk.content_length)
        except RangeInvalid as refusal:
            raise UploadConflict(upload, refusal) from None
        # Also where nothing is added: what lies behind would make the file another one.
        file.rewind(upload.received)
        if expected == 0:
            return upload
        if upload.received or algorithm is None:
            algorithm = upload.digest_so_far.algorithm
        hasher = await self._hashes.resume(upload.session, algorithm, upload.received)
        changed, received = upload, upload.received
        try:
            async for piece in chunk.pieces:
                if expected is not None and received + len(piece) - upload.received > expected:
                    received = upload.received
                    raise SizeInvalid(LONGER)
                file.write(piece)
                hasher.update(piece)
                received += len(piece)
        finally:
            if received != upload.received:
                digest_so_far = digest_from(algorithm, hasher)
                changed = replace(upload, received=received, digest_so_far=digest_so_far)
                await self._record(changed)
                self._hashes.remember(upload.session, algorithm, received, hasher)
        if expected is not None and received - upload.received < expected:
            raise SizeInvalid(SHORTER)
        return changed

    async def _store_all(
        self, upload: Upload, file: UploadFile, chunk: Chunk, algorithm: str
    ) -> Upload:
        """Take a whole body that nobody will continue."""
        hasher = new_hasher(algorithm)
        received = 0
        async for piece in chunk.pieces:
            file.write(piece)
            hasher.update(piece)
            received += len(piece)
        return replace(upload, received=received, digest_so_far=digest_from(algorithm, hasher))

    async def _record(self, upload: Upload) -> None:
        async def update(transaction: Transaction) -> None:
            await transaction.execute(
                _RECORD, upload.session, upload.received, upload.digest_so_far, now()
            )

        await self._database.transaction(update, durable=False)

    async def _digest(self, upload: Upload, algorithm: str) -> Digest:
        """The digest of all that was received; read again only for an algorithm not announced."""
        if upload.digest_so_far.algorithm == algorithm:
            return upload.digest_so_far
        hasher = new_hasher(algorithm)
        await self._store.hash_upload(upload.session, hasher, 0, upload.received)
        return digest_from(algorithm, hasher)

    async def _commit(self, upload: Upload, digest: Digest, actor: Actor) -> None:
        """Make the bytes durable under their key, then the blob known; in this order."""
        stored: StoredBlob | None = None
        if not await self._blobs.is_stored(digest):
            stored = await self._publish(upload, digest)
        try:
            taken = await self._add(upload, digest, stored, actor)
        except BlobVanished:
            stored = await self._publish(upload, digest)
            taken = await self._add(upload, digest, stored, actor)
        self._hashes.forget(upload.session)
        if stored is None:
            await self._store.discard(upload.session)
        elif not taken:
            await self._store.delete(stored.key)

    async def _add(
        self, upload: Upload, digest: Digest, stored: StoredBlob | None, actor: Actor
    ) -> bool:
        try:
            return await self._blobs.add(upload.repository, digest, stored, actor, upload.session)
        except InsufficientStorage:
            # The catalogue certainly knows nothing of the bytes: give their room back.
            if stored is not None:
                await self._store.delete(stored.key)
            raise

    async def _publish(self, upload: Upload, digest: Digest) -> StoredBlob:
        try:
            return await self._store.publish(upload.session, digest, upload.received)
        except UploadLost:
            await self._drop(upload.session)
            raise BlobUploadUnknown from None

    async def _drop(self, session: str) -> None:
        async def forget(transaction: Transaction) -> None:
            await transaction.execute(_FORGET, session)

        # Bytes first: on a full disk the catalogue has no room to forget before they are gone.
        self._hashes.forget(session)
        await self._store.discard(session)
        await self._database.transaction(forget, durable=False)

    async def _is_known(self, session: str) -> bool:
        return await self._database.fetch_one(_KNOWN, session) is not None
