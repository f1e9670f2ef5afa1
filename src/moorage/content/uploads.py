# SPDX-License-Identifier: Apache-2.0
"""Upload sessions: bytes that arrive over one or several requests and become a blob at the end.

The catalogue's row is the truth: `received` bytes that hash to `digest_so_far`. It is written at
the end of each request; what a killed process had written beyond it is cut off by the next one.
One request at a time holds a session, whichever process serves it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from moorage.content.blobs import BlobVanished
from moorage.content.changes import now
from moorage.content.hashing import RunningHashes
from moorage.spec.digests import Digest, digest_from, new_hasher
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
    from moorage.db.protocol import Database, Transaction
    from moorage.spec.names import RepositoryName
    from moorage.storage.protocol import AppendableStore, StoredBlob, UploadFile

_START = """
    INSERT INTO uploads
        (session, repository, principal, boot, received, digest_so_far, started_at, touched_at)
    VALUES ($1, $2, $3, $4, 0, $5, $6, $6)
"""
_FIND = """
    SELECT received, digest_so_far FROM uploads
    WHERE session = $1 AND repository = $2 AND boot = $3
"""
_RECORD = """
    UPDATE uploads SET received = $2, digest_so_far = $3, touched_at = $4 WHERE session = $1
"""
_FORGET = "DELETE FROM uploads WHERE session = $1"
_IDLE = "SELECT session FROM uploads WHERE touched_at < $1"
_KNOWN = "SELECT 1 FROM uploads WHERE session = $1"
_TOUCHED = "SELECT 1 FROM uploads WHERE session = $1 AND touched_at >= $2"

_SHORTER = "The body is shorter than Content-Range announces; continue where the upload now is."
_LONGER = "The body is longer than Content-Range announces; nothing of it was kept."


@dataclass(frozen=True, slots=True)
class Upload:
    """A session as the catalogue knows it."""

    session: str
    repository: RepositoryName
    received: int
    digest_so_far: Digest


@dataclass(frozen=True, slots=True)
class Chunk:
    """A request's body on its way into a session, with what its headers say about it."""

    pieces: AsyncIterator[bytes]
    content_range: str | None = None
    content_length: int | None = None


class UploadConflict(Exception):
    """The request does not continue the upload as it stands; `upload` tells how it stands."""

    def __init__(self, upload: Upload, refusal: RangeInvalid) -> None:
        super().__init__(str(refusal))
        self.upload = upload
        self.refusal = refusal


class Uploads:
    """Starting, continuing, finishing and cancelling uploads."""

    def __init__(self, database: Database, store: AppendableStore, blobs: Blobs, boot: str) -> None:
        """`boot` names this run of the machine: unsynced bytes are not trusted beyond a reboot."""
        self._database = database
        self._store = store
        self._blobs = blobs
        self._boot = boot
        self._hashes = RunningHashes(store)

    async def start(self, repository: RepositoryName, actor: Actor, algorithm: str) -> Upload:
        """Open a session (end-4a, end-4c)."""
        empty = digest_from(algorithm, new_hasher(algorithm))
        upload = Upload(str(uuid4()), repository, 0, empty)

        async def insert(transaction: Transaction) -> None:
            await transaction.execute(
                _START, upload.session, repository, actor.name, self._boot, empty, now()
            )

        await self._database.transaction(insert, durable=False)
        return upload

    async def find(self, repository: RepositoryName, session: str) -> Upload:
        """The session as the catalogue has it.

        Raises:
            BlobUploadUnknown: there is none of this name in this repository.
        """
        row = await self._database.fetch_one(_FIND, session, repository, self._boot)
        if row is None:
            raise BlobUploadUnknown
        received, digest_so_far = row
        return Upload(session, repository, received, Digest(digest_so_far))

    async def status(self, repository: RepositoryName, session: str) -> Upload:
        """How far the session is (end-13); never further than there are bytes.

        Raises:
            BlobUploadUnknown: there is none of this name in this repository.
        """
        try:
            async with self._held(repository, session) as (upload, _):
                return upload
        except UploadConflict as conflict:
            return conflict.upload

    async def append(self, repository: RepositoryName, session: str, chunk: Chunk) -> Upload:
        """Take a chunk (end-5), all of it or as much as arrives.

        Raises:
            BlobUploadUnknown: there is no such session.
            UploadConflict: the chunk does not continue it, or another request is writing to it.
            SizeInvalid: the chunk has not the announced length.
            InsufficientStorage: the store is full; what was written before is kept.
        """
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
        """Take the last chunk, if any, and make the upload a blob of the repository (end-6).

        Raises:
            DigestInvalid: the bytes hash to something else; the session is dropped.
            BlobUploadUnknown, UploadConflict, SizeInvalid, InsufficientStorage: as for `append`.
        """
        async with self._held(repository, session) as (before, file):
            upload = await self._receive(before, file, chunk, digest.algorithm)
            actual = await self._digest(upload, digest.algorithm)
            try:
                _require(digest, actual, upload.received)
            except DigestInvalid:
                await self._drop(session)
                raise
            await self._commit(upload, digest, actor)

    async def push(
        self, repository: RepositoryName, digest: Digest, chunk: Chunk, actor: Actor
    ) -> None:
        """Take a whole blob in one request (end-4b), without a session that anybody could see."""
        empty = digest_from(digest.algorithm, new_hasher(digest.algorithm))
        upload = Upload(str(uuid4()), repository, 0, empty)
        try:
            with self._store.append(upload.session) as file:
                upload = await self._store_all(upload, file, chunk, digest.algorithm)
                _require(digest, upload.digest_so_far, upload.received)
                await self._commit(upload, digest, actor)
        except BaseException:
            await self._store.discard(upload.session)
            raise

    async def cancel(self, repository: RepositoryName, session: str) -> None:
        """Drop a session and its bytes (end-14).

        Raises:
            BlobUploadUnknown: there is no such session.
        """
        await self.find(repository, session)
        await self._drop(session)

    async def purge(self, idle_since: int, *, dry_run: bool = False) -> int:
        """Drop what was not touched since then (microseconds); return how many sessions it was."""
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
            refusal = RangeInvalid(
                "Another request is writing to this upload; ask for its state and continue there."
            )
            raise UploadConflict(upload, refusal) from None

    async def _receive(
        self, upload: Upload, file: UploadFile, chunk: Chunk, algorithm: str | None = None
    ) -> Upload:
        """Take the body as it comes; whatever ends it, record exactly what is there."""
        try:
            expected = expected_chunk(upload.received, chunk.content_range, chunk.content_length)
        except RangeInvalid as refusal:
            raise UploadConflict(upload, refusal) from None
        if expected == 0:
            return upload
        if upload.received or algorithm is None:
            algorithm = upload.digest_so_far.algorithm
        hasher = await self._hashes.resume(upload.session, algorithm, upload.received)
        file.rewind(upload.received)
        changed, received = upload, upload.received
        try:
            async for piece in chunk.pieces:
                if expected is not None and received + len(piece) - upload.received > expected:
                    received = upload.received
                    raise SizeInvalid(_LONGER)
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
            raise SizeInvalid(_SHORTER)
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


def _require(expected: Digest, actual: Digest, size: int) -> None:
    if actual != expected:
        raise DigestInvalid(
            f"The {size} bytes received have the digest {actual}, not {expected}; "
            "upload them again.",
            detail={"expected": expected, "actual": actual, "size": size},
        )
