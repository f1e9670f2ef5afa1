# SPDX-License-Identifier: Apache-2.0
"""Manifests: stored exactly as pushed, found by one statement, closed rather than destroyed.

Invariant: a manifest that can be pulled was complete when it was pushed, and a tag never points at
nothing: both are checked and written in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.content.changes import Change, now
from moorage.content.indexing import index_manifest
from moorage.content.records import ManifestRecord, RecordName, is_final
from moorage.content.references import missing_references
from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid, ManifestBlobUnknown, ManifestUnknown, OCIError
from moorage.spec.manifests import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from moorage.content.changes import Actor, ChangeLog
    from moorage.content.records import ManifestRecords
    from moorage.content.repositories import Repositories
    from moorage.content.rules import ManifestRules
    from moorage.content.tags import Tags
    from moorage.db.protocol import Database, Transaction
    from moorage.spec.manifests import Manifest
    from moorage.spec.names import Reference, RepositoryName, TagName

_BY_DIGEST = """
    SELECT m.digest, m.media_type, m.size, {payload}
    FROM repositories r
    JOIN manifests m ON m.repository_id = r.id AND m.digest = $2 AND m.deleted_at IS NULL
    WHERE r.name = $1
"""
_BY_TAG = """
    SELECT m.digest, m.media_type, m.size, {payload}
    FROM repositories r
    JOIN tags t ON t.repository_id = r.id AND t.name = $2 AND t.ended_at IS NULL
    JOIN manifests m
        ON m.repository_id = r.id AND m.digest = t.digest AND m.deleted_at IS NULL
    WHERE r.name = $1
"""
_GET_BY_DIGEST = _BY_DIGEST.format(payload="m.payload")
_GET_BY_TAG = _BY_TAG.format(payload="m.payload")
_HEAD_BY_DIGEST = _BY_DIGEST.format(payload="''")
_HEAD_BY_TAG = _BY_TAG.format(payload="''")
_PRESENT = """
    SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2 AND deleted_at IS NULL
"""
_CLOSE = """
    UPDATE manifests SET deleted_at = $3
    WHERE digest = $2 AND deleted_at IS NULL
        AND repository_id = (SELECT id FROM repositories WHERE name = $1)
    RETURNING repository_id, pushed_at
"""


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it is delivered; `payload` is empty when only the rest was asked for."""

    digest: Digest
    media_type: str
    size: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ManifestPush:
    """A manifest on its way in.

    `digest` is what the client says the payload hashes to, or None when it gave a tag.
    `tags` are all set at once. `precondition` is called with the digest that the tag has before
    (None: no such tag) and raises to refuse. `pushed_at` is for imports, which keep the time of a
    push elsewhere; None is now.
    """

    payload: bytes
    content_type: str | None
    digest: Digest | None
    tags: Sequence[TagName]
    precondition: Callable[[Digest | None], None] | None = None
    pushed_at: int | None = None


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """What a push has come to; `absent` are children of an index that are not in the repository."""

    digest: Digest
    manifest: Manifest
    absent: tuple[Digest, ...] = ()


class _RecordNeeded(Exception):
    """The manifest was deleted while somebody pushed it again."""


class Manifests:
    """Finding, pushing and deleting manifests."""

    def __init__(
        self,
        database: Database,
        repositories: Repositories,
        tags: Tags,
        changes: ChangeLog,
        rules: ManifestRules,
        records: ManifestRecords | None = None,
    ) -> None:
        """`records` is where manifests are written down a second time."""
        self._database = database
        self._repositories = repositories
        self._tags = tags
        self._changes = changes
        self._rules = rules
        self._records = records

    async def get(self, repository: RepositoryName, reference: Reference) -> StoredManifest:
        """The manifest with its payload (end-3).

        Raises:
            ManifestUnknown: there is none under this tag or digest.
        """
        sql = _GET_BY_DIGEST if isinstance(reference, Digest) else _GET_BY_TAG
        return await self._find(sql, repository, reference)

    async def head(self, repository: RepositoryName, reference: Reference) -> StoredManifest:
        """The manifest without its payload; raises as `get` does."""
        sql = _HEAD_BY_DIGEST if isinstance(reference, Digest) else _HEAD_BY_TAG
        return await self._find(sql, repository, reference)

    async def _find(
        self, sql: str, repository: RepositoryName, reference: Reference
    ) -> StoredManifest:
        row = await self._database.fetch_one(sql, repository, reference)
        if row is None:
            kind = "digest" if isinstance(reference, Digest) else "tag"
            raise ManifestUnknown(detail={"name": repository, kind: reference})
        digest, media_type, size, payload = row
        return StoredManifest(Digest(digest), media_type, size, payload)

    async def push(
        self, repository: RepositoryName, push: ManifestPush, actor: Actor
    ) -> PushedManifest:
        """Store a manifest and set its tags, all or nothing (end-7a, end-7b).

        Raises:
            ManifestInvalid: the payload is not a manifest of the stated type.
            DigestInvalid: the payload does not hash to the stated digest.
            ManifestBlobUnknown: something that it refers to is not in the repository.
            PreconditionFailed: the tag is not in the state that the client requires.
            InsufficientStorage, Unavailable: it could not be written down; nothing was changed.
        """
        manifest = parse_manifest(push.payload, push.content_type)
        self._rules.urls.check(manifest)
        digest = Digest.of(push.payload, push.digest.algorithm if push.digest else "sha256")
        if push.digest is not None and digest != push.digest:
            raise DigestInvalid(
                f"The manifest hashes to {digest}, not to {push.digest}; send the exact bytes.",
                detail={"expected": push.digest, "actual": digest},
            )
        if await self._database.fetch_one(_HEAD_BY_DIGEST, repository, digest) is None:
            return await self._push_recorded(repository, push, actor, digest, manifest)
        try:
            pushed, _ = await self._push(repository, push, actor, digest, manifest, recorded=None)
        except _RecordNeeded:
            return await self._push_recorded(repository, push, actor, digest, manifest)
        return pushed

    async def _push_recorded(
        self,
        repository: RepositoryName,
        push: ManifestPush,
        actor: Actor,
        digest: Digest,
        manifest: Manifest,
    ) -> PushedManifest:
        """Push what seems to be new: its record first."""
        name = RecordName(repository, digest, push.pushed_at or now())
        if self._records is None:
            pushed, _ = await self._push(repository, push, actor, digest, manifest, recorded=name)
            return pushed
        record = ManifestRecord(name, manifest.media_type, actor.name, push.payload)
        await self._records.write(record)
        try:
            pushed, is_new = await self._push(
                repository, push, actor, digest, manifest, recorded=name
            )
        except OCIError as refusal:
            if is_final(refusal):
                await self._records.remove(name)
            raise
        if not is_new:
            await self._records.remove(name)
        return pushed

    async def _push(
        self,
        repository: RepositoryName,
        push: ManifestPush,
        actor: Actor,
        digest: Digest,
        manifest: Manifest,
        *,
        recorded: RecordName | None,
    ) -> tuple[PushedManifest, bool]:
        """The transaction of a push, and whether the manifest was new.

        Raises:
            _RecordNeeded: it is new, and has no record yet.
        """
        at = now()

        async def store(transaction: Transaction) -> tuple[PushedManifest, bool]:
            absent: tuple[Digest, ...] = ()
            repository_id = await self._repositories.ensure(transaction, repository, actor, at)
            if push.precondition is not None:
                current = await self._tags.current(transaction, repository_id, push.tags[0])
                push.precondition(current)
            present = await transaction.fetch_one(_PRESENT, repository_id, digest)
            if present is None:
                if recorded is None:
                    raise _RecordNeeded
                absent = await self._check_references(transaction, repository_id, manifest)
                await index_manifest(
                    transaction, repository_id, recorded, manifest, actor.name, push.payload
                )
                change = Change(
                    "manifest.pushed", repository, digest, {"mediaType": manifest.media_type}
                )
                await self._changes.append(transaction, actor, at, change)
            for tag in push.tags:
                await self._tags.move(
                    transaction, repository_id, repository, tag, digest, actor, at
                )
            return PushedManifest(digest, manifest, absent), present is None

        return await self._database.transaction(store)

    async def _check_references(
        self, transaction: Transaction, repository_id: int, manifest: Manifest
    ) -> tuple[Digest, ...]:
        """Refuse what is incomplete against the rules; return the children that may be absent."""
        references = manifest.references()
        required = [
            reference
            for reference in references
            if reference.required and reference.kind in self._rules.required
        ]
        missing = await missing_references(transaction, repository_id, required)
        if missing:
            raise ManifestBlobUnknown.for_digests(missing)
        children = [reference for reference in references if reference.kind == "child"]
        if not children or "child" in self._rules.required:
            return ()
        return tuple(await missing_references(transaction, repository_id, children))

    async def delete(self, repository: RepositoryName, digest: Digest, actor: Actor) -> None:
        """Close a manifest and every tag that points at it (end-9).

        Raises:
            ManifestUnknown: there is no such manifest.
        """
        at = now()

        async def close(transaction: Transaction) -> int:
            row = await transaction.fetch_one(_CLOSE, repository, digest, at)
            if row is None:
                raise ManifestUnknown(detail={"name": repository, "digest": digest})
            await self._tags.close_all(transaction, row[0], repository, digest, actor, at)
            change = Change("manifest.deleted", repository, digest)
            await self._changes.append(transaction, actor, at, change)
            pushed_at: int = row[1]
            return pushed_at

        pushed_at = await self._database.transaction(close)
        if self._records is not None:
            await self._records.remove(RecordName(repository, digest, pushed_at))
