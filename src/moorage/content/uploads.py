# SPDX-License-Identifier: Apache-2.0
"""Upload sessions: bytes that arrive over one or several requests and become a blob at the end.

The catalogue's row is the truth: `received` bytes that hash to `digest_so_far`. It is written at
the end of each request. What is here is the same for every store; where the bytes go until they are
a blob is for `file_uploads` (one file that grows) and `extent_uploads` (one object a request).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from moorage.content.changes import now
from moorage.spec.digests import Digest, digest_from, new_hasher
from moorage.spec.errors import BlobUploadUnknown, DigestInvalid, RangeInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.content.changes import Actor
    from moorage.db.protocol import Database, Transaction
    from moorage.spec.names import RepositoryName

_START = """
    INSERT INTO uploads
        (session, repository, principal, boot, received, digest_so_far, started_at, touched_at)
    VALUES ($1, $2, $3, $4, 0, $5, $6, $6)
"""
_FIND = """
    SELECT received, digest_so_far FROM uploads
    WHERE session = $1 AND repository = $2 AND boot = $3
"""

SHORTER = "The body is shorter than Content-Range announces; continue where the upload now is."
LONGER = "The body is longer than Content-Range announces; nothing of it was kept."


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

    @classmethod
    def busy(cls, upload: Upload) -> UploadConflict:
        """Somebody else is writing to the upload, or has just written to it."""
        refusal = RangeInvalid(
            "Another request is writing to this upload; ask for its state and continue there."
        )
        return cls(upload, refusal)


class Uploads(ABC):
    """Starting, continuing, finishing and cancelling uploads."""

    def __init__(self, database: Database, boot: str) -> None:
        """`boot` names this run of the machine: unsynced bytes are not trusted beyond a reboot."""
        self._database = database
        self._boot = boot

    async def start(self, repository: RepositoryName, actor: Actor, algorithm: str) -> Upload:
        """Open a session (end-4a, end-4c)."""
        upload = new_upload(repository, algorithm)

        async def insert(transaction: Transaction) -> None:
            digest = upload.digest_so_far
            await transaction.execute(
                _START, upload.session, repository, actor.name, self._boot, digest, now()
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

    @abstractmethod
    async def status(self, repository: RepositoryName, session: str) -> Upload:
        """How far the session is (end-13); never further than there are bytes.

        Raises:
            BlobUploadUnknown: there is none of this name in this repository.
        """

    @abstractmethod
    async def append(self, repository: RepositoryName, session: str, chunk: Chunk) -> Upload:
        """Take a chunk (end-5), all of it or as much as arrives.

        Raises:
            BlobUploadUnknown: there is no such session.
            UploadConflict: the chunk does not continue it, or another request is writing to it.
            SizeInvalid: the chunk has not the announced length.
            InsufficientStorage: the store is full; what was written before is kept.
        """

    @abstractmethod
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

    @abstractmethod
    async def push(
        self, repository: RepositoryName, digest: Digest, chunk: Chunk, actor: Actor
    ) -> None:
        """Take a whole blob in one request (end-4b), without a session that anybody could see."""

    @abstractmethod
    async def cancel(self, repository: RepositoryName, session: str) -> None:
        """Drop a session and its bytes (end-14).

        Raises:
            BlobUploadUnknown: there is no such session.
        """

    @abstractmethod
    async def purge(self, idle_since: int, *, dry_run: bool = False) -> int:
        """Drop what was not touched since then (microseconds); return how many sessions it was."""


def new_upload(repository: RepositoryName, algorithm: str) -> Upload:
    """A session that nobody knows of yet."""
    return Upload(str(uuid4()), repository, 0, digest_from(algorithm, new_hasher(algorithm)))


def require_digest(expected: Digest, actual: Digest, size: int) -> None:
    """Refuse bytes that hash to something else than their client promised.

    Raises:
        DigestInvalid: with both digests and the size.
    """
    if actual != expected:
        raise DigestInvalid(
            f"The {size} bytes received have the digest {actual}, not {expected}; "
            "upload them again.",
            detail={"expected": expected, "actual": actual, "size": size},
        )
