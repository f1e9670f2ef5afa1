# SPDX-License-Identifier: Apache-2.0
"""Uploads into an object store: each request's bytes are one object, and a blob is a list of them.

Nobody holds a session: a request writes its object and then compares and swaps the catalogue's row
from the offset where it began to the one where it ended. Of two that began at the same offset one
wins, on whichever replicas they are. Whoever takes the session's row away, by finishing or by
cancelling, decides what becomes of its objects, in that very transaction.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from moorage.content.blobs import BlobVanished
from moorage.content.changes import now
from moorage.content.garbage import throw_away
from moorage.content.hashing import RunningHashes
from moorage.content.request_body import RequestBody
from moorage.content.uploads import (
    Upload,
    UploadConflict,
    Uploads,
    new_upload,
    require_digest,
)
from moorage.spec.digests import Digest, digest_from, new_hasher
from moorage.spec.errors import (
    BlobUploadUnknown,
    DigestInvalid,
    InsufficientStorage,
    OCIError,
    RangeInvalid,
)
from moorage.spec.uploads import expected_chunk
from moorage.storage.extents import read_extents
from moorage.storage.protocol import Extent, InheritingStore, StoredBlob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from moorage.content.blobs import Blobs
    from moorage.content.changes import Actor
    from moorage.content.uploads import Chunk
    from moorage.db.protocol import Database, Transaction
    from moorage.spec.digests import Hasher
    from moorage.spec.names import RepositoryName
    from moorage.storage.protocol import ExtentStore

_FIND = """
    SELECT u.received, u.digest_so_far,
        (SELECT COALESCE(SUM(e.size), 0) FROM upload_extents e WHERE e.session = u.session)
    FROM uploads u WHERE u.session = $1 AND u.repository = $2 AND u.boot = $3
"""
_RECORD = """
    UPDATE uploads SET received = $3, digest_so_far = $4, touched_at = $5
    WHERE session = $1 AND received = $2
"""
_RECORD_EXTENT = "INSERT INTO upload_extents (session, ordinal, key, size) VALUES ($1, $2, $3, $4)"
_EXTENTS = """
    SELECT key, size FROM upload_extents WHERE session = $1 AND ordinal < $2 ORDER BY ordinal
"""
_ALL_EXTENTS = "SELECT key, size FROM upload_extents WHERE session = $1 ORDER BY ordinal"
_END = "DELETE FROM uploads WHERE session = $1 AND received = $2"
_FORGET = "DELETE FROM uploads WHERE session = $1"
_FORGET_IDLE = "DELETE FROM uploads WHERE session = $1 AND touched_at < $2"
_FORGET_EXTENTS = "DELETE FROM upload_extents WHERE session = $1"
_IDLE = "SELECT session FROM uploads WHERE touched_at < $1"


class ExtentUploads(Uploads):
    """Uploads over an `ExtentStore`."""

    def __init__(self, database: Database, store: ExtentStore, blobs: Blobs) -> None:
        # What an object store has confirmed outlives any machine: every replica may go on.
        super().__init__(database, boot="")
        self._store = store
        self._blobs = blobs
        self._hashes = RunningHashes(self._hash_range)

    async def find(self, repository: RepositoryName, session: str) -> Upload:
        row = await self._database.fetch_one(_FIND, session, repository, self._boot)
        # Bytes that no extent holds were given to another store, before this one was configured.
        if row is None or row[0] != row[2]:
            raise BlobUploadUnknown
        return Upload(session, repository, row[0], Digest(row[1]))

    async def status(self, repository: RepositoryName, session: str) -> Upload:
        return await self.find(repository, session)

    async def append(self, repository: RepositoryName, session: str, chunk: Chunk) -> Upload:
        before = await self.find(repository, session)
        body = await self._body(before, chunk, before.digest_so_far.algorithm)
        if body is None:
            return before
        upload = await self._record(before, body, await self._write(before, body))
        body.check()
        return upload

    async def finish(
        self,
        repository: RepositoryName,
        session: str,
        digest: Digest,
        chunk: Chunk,
        actor: Actor,
    ) -> None:
        before = await self.find(repository, session)
        algorithm = before.digest_so_far.algorithm if before.received else digest.algorithm
        body = await self._body(before, chunk, algorithm)
        upload, fresh = before, list[Extent]()
        if body is not None:
            fresh = await self._write(before, body)
            upload = _after(before, body)
            if body.incomplete:
                await self._record(before, body, fresh)
                body.check()
        # What others have recorded meanwhile is no part of this blob, nor is its sidecar ours.
        extents = [*await self._recorded(session, before.received), *fresh]
        if _size(extents) != upload.received:
            await self._discard(fresh)
            raise await self._overtaken(before)
        try:
            actual = await self._digest(upload, extents, digest.algorithm)
            require_digest(digest, actual, upload.received)
        except DigestInvalid:
            await self._drop(session, fresh)
            raise
        pushed = _Pushed(repository, digest, extents, fresh, before)
        await self._commit(pushed, actor)
        self._hashes.forget(session)

    async def push(
        self, repository: RepositoryName, digest: Digest, chunk: Chunk, actor: Actor
    ) -> None:
        before = new_upload(repository, digest.algorithm)
        body = RequestBody(chunk.pieces, digest.algorithm, new_hasher(digest.algorithm))
        fresh = await self._write(before, body)
        try:
            body.check()
            require_digest(digest, body.digest, body.received)
        except BaseException:
            await self._discard(fresh)
            raise
        await self._commit(_Pushed(repository, digest, fresh, fresh), actor)

    async def cancel(self, repository: RepositoryName, session: str) -> None:
        await self.find(repository, session)
        if not await self._drop(session):
            raise BlobUploadUnknown

    async def purge(self, idle_since: int, *, dry_run: bool = False) -> int:
        idle = await self._database.fetch_all(_IDLE, idle_since)
        if dry_run:
            return len(idle)
        if isinstance(self._store, InheritingStore):
            async for left in self._store.left_behind():
                if left.touched_at < idle_since:
                    await self._store.discard_left(left.session)
        return sum([await self._drop(session, idle_since=idle_since) for (session,) in idle])

    async def _body(self, upload: Upload, chunk: Chunk, algorithm: str) -> RequestBody | None:
        """The body, ready to be hashed on from where the upload is; None when it is empty."""
        try:
            expected = expected_chunk(upload.received, chunk.content_range, chunk.content_length)
        except RangeInvalid as refusal:
            raise UploadConflict(upload, refusal) from None
        if expected == 0:
            return None
        hasher = await self._hashes.resume(upload.session, algorithm, upload.received)
        return RequestBody(chunk.pieces, algorithm, hasher, expected)

    async def _write(self, before: Upload, body: RequestBody) -> list[Extent]:
        """Store the body, in more than one object only where one would be too large."""
        extents: list[Extent] = []

        def digest() -> Digest | None:
            alone = not before.received and not extents
            return body.digest if alone else None

        try:
            while not body.ended:
                extent = await self._store.write_extent(body, digest)
                if extent is not None:
                    extents.append(extent)
        except BaseException:
            await self._discard(extents)
            raise
        return extents

    async def _record(self, before: Upload, body: RequestBody, fresh: list[Extent]) -> Upload:
        """Let the session go on behind these extents.

        Raises:
            UploadConflict: another request was faster.
            BlobUploadUnknown: somebody has ended the session.
        """
        upload = _after(before, body)
        if not fresh:
            return upload
        changed = (upload.received, upload.digest_so_far, now())

        async def record(transaction: Transaction) -> bool:
            session, offset = upload.session, before.received
            if not await transaction.execute(_RECORD, session, offset, *changed):
                await throw_away(transaction, fresh, now())
                return False
            for extent in fresh:
                await transaction.execute(_RECORD_EXTENT, session, offset, extent.key, extent.size)
                offset += extent.size
            return True

        # Durable, because beside the request to the store it costs nothing: what was answered is
        # not forgotten when the database crashes.
        if not await self._database.transaction(record):
            raise await self._overtaken(before)
        algorithm = upload.digest_so_far.algorithm
        self._hashes.remember(upload.session, algorithm, upload.received, body.hasher)
        return upload

    async def _overtaken(self, before: Upload) -> UploadConflict:
        return UploadConflict.busy(await self.find(before.repository, before.session))

    async def _digest(self, upload: Upload, extents: list[Extent], algorithm: str) -> Digest:
        """The digest of all that was received; read again only for an algorithm not announced."""
        if upload.digest_so_far.algorithm == algorithm:
            return upload.digest_so_far
        hasher = new_hasher(algorithm)
        await self._hash(hasher, extents, 0, upload.received)
        return digest_from(algorithm, hasher)

    async def _hash_range(self, session: str, hasher: Hasher, start: int, stop: int) -> None:
        extents = await self._recorded(session, stop)
        if _size(extents) != stop:  # it was ended since this request has looked
            raise BlobUploadUnknown
        await self._hash(hasher, extents, start, stop)

    async def _hash(self, hasher: Hasher, extents: Sequence[Extent], start: int, stop: int) -> None:
        try:
            async for piece in read_extents(self._store, extents, start, stop):
                hasher.update(piece)
        except KeyError:
            # Its session was ended and its objects swept; or they are lost, and it is as well.
            raise BlobUploadUnknown from None

    async def _recorded(self, session: str, stop: int) -> list[Extent]:
        """The extents of the upload's first `stop` bytes."""
        rows = await self._database.fetch_all(_EXTENTS, session, stop)
        return [Extent(key, size) for key, size in rows]

    async def _commit(self, pushed: _Pushed, actor: Actor) -> None:
        """Make the extents a blob and end the session, which must still be where it was."""
        known = await self._blobs.is_stored(pushed.digest)
        stored = None if known else await self._seal(pushed)
        try:
            ended = await self._link(pushed, stored, actor)
        except BlobVanished:
            stored = await self._seal(pushed)
            ended = await self._link(pushed, stored, actor)
        if pushed.session is not None and not ended:
            raise await self._overtaken(pushed.session)
        if stored is not None and pushed.is_contested:
            with suppress(OCIError):  # joined in a moment, the blob has a name that tells as much
                await self._store.record(stored)

    async def _seal(self, pushed: _Pushed) -> StoredBlob:
        """The extents as a blob that can be found again without the catalogue.

        The digest is written beside the first extent. Where another request may be finishing the
        same session with another end, that has to wait until it is known which of them wins.
        """
        if not pushed.extents:
            return await self._store.write(pushed.digest, _nothing())
        size = _size(pushed.extents)
        first, *more = pushed.extents
        pieces = (first, *more) if more else ()
        stored = StoredBlob(first.key, pushed.digest, size, pieces)
        if not pushed.is_contested:
            await self._store.record(stored)
        return stored

    async def _link(self, pushed: _Pushed, stored: StoredBlob | None, actor: Actor) -> bool:
        """Whether the session ended here; what is not needed then goes to the garbage."""
        at = now()
        all_of_it = stored.extents if stored else pushed.extents

        async def link(transaction: Transaction) -> bool:
            upload = pushed.session
            if upload is not None:
                if not await transaction.execute(_END, upload.session, upload.received):
                    await throw_away(transaction, pushed.fresh, at)
                    return False
                await transaction.execute(_FORGET_EXTENTS, upload.session)
            repository, digest = pushed.repository, pushed.digest
            if not await self._blobs.add_in(transaction, repository, digest, stored, actor, at):
                await throw_away(transaction, all_of_it, at)
            return True

        try:
            return await self._database.transaction(link)
        except InsufficientStorage:
            # The catalogue certainly knows nothing of them. After any other failure it might.
            for extent in pushed.fresh:
                await self._store.delete(extent.key)
            raise

    async def _drop(
        self, session: str, fresh: Sequence[Extent] = (), *, idle_since: int | None = None
    ) -> bool:
        """End the session, unless somebody else has, or its client came back after `idle_since`."""
        self._hashes.forget(session)
        at = now()

        async def drop(transaction: Transaction) -> bool:
            if idle_since is None:
                ended = await transaction.execute(_FORGET, session)
            else:
                ended = await transaction.execute(_FORGET_IDLE, session, idle_since)
            rows = await transaction.fetch_all(_ALL_EXTENTS, session) if ended else []
            await transaction.execute(_FORGET_EXTENTS, session)
            recorded = [Extent(key, size) for key, size in rows]
            await throw_away(transaction, [*recorded, *fresh], at)
            return bool(ended)

        # Durable: a session that a crash brings back must not come back without its objects.
        return await self._database.transaction(drop)

    async def _discard(self, extents: Sequence[Extent]) -> None:
        """Let go of objects that no row knows; one that stays is found by `moorage check`."""
        if not extents:
            return

        async def discard(transaction: Transaction) -> None:
            await throw_away(transaction, extents, now())

        with suppress(OCIError):
            await self._database.transaction(discard, durable=False)


@dataclass(frozen=True, slots=True)
class _Pushed:
    """A blob that has arrived: all of its extents, and those that only this request knows of."""

    repository: RepositoryName
    digest: Digest
    extents: Sequence[Extent]
    fresh: Sequence[Extent]
    session: Upload | None = None

    @property
    def is_contested(self) -> bool:
        """Whether others could give the same beginning another end."""
        return bool(self.fresh) and len(self.extents) > len(self.fresh)


def _size(extents: Iterable[Extent]) -> int:
    return sum(extent.size for extent in extents)


def _after(before: Upload, body: RequestBody) -> Upload:
    return replace(before, received=before.received + body.received, digest_so_far=body.digest)


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece
