# SPDX-License-Identifier: Apache-2.0
"""Referrers: the manifests whose subject is another one, found by an index on the subject.

Before registries kept such lists, clients kept them in an index under a tag made of the subject's
digest. "The registry MUST include" those entries too (end-12, enabling the referrers API).
"""

from __future__ import annotations

import json
from heapq import merge
from typing import TYPE_CHECKING

from moorage.spec.errors import ManifestInvalid, ManifestUnknown
from moorage.spec.manifests import parse_manifest
from moorage.spec.media_types import INDEX_TYPES
from moorage.spec.referrers import fallback_tag, referrer_descriptor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from moorage.content.manifests import Manifests
    from moorage.db.protocol import Database
    from moorage.spec import descriptors
    from moorage.spec.digests import Digest
    from moorage.spec.names import RepositoryName

_PAGE = """
    SELECT m.digest, m.artifact_type, m.referrer
    FROM repositories r
    JOIN manifests m ON m.repository_id = r.id AND m.subject = $2 AND m.deleted_at IS NULL
        AND m.digest > $3
    WHERE r.name = $1
    ORDER BY m.digest LIMIT $4
"""
_BATCH = 500
# Clients read at most 4 MiB of an index; the rest of the reply needs a little of it.
MAX_PAGE_BYTES = 4 * 1024 * 1024 - 4096

Descriptor = dict[str, object]


class Referrers:
    """Lists what refers to a manifest."""

    def __init__(self, database: Database, manifests: Manifests) -> None:
        self._database = database
        self._manifests = manifests

    async def page(
        self,
        repository: RepositoryName,
        subject: Digest,
        artifact_types: Collection[str],
        after: str,
        limit: int,
    ) -> tuple[list[Descriptor], bool]:
        """Descriptors in the order of their digests, and whether there are more after them.

        A page ends after `limit` entries or before it grows too long for clients to read.
        """
        legacy = await self._fallback(repository, subject, after)
        page: list[Descriptor] = []
        size = 0
        while True:
            rows = await self._database.fetch_all(_PAGE, repository, subject, after, _BATCH)
            last = len(rows) < _BATCH
            listed = [(digest, json.loads(referrer)) for digest, _, referrer in rows]
            until = None if last else listed[-1][0]
            for digest, descriptor in _joined(listed, legacy, after, until):
                if artifact_types and descriptor.get("artifactType") not in artifact_types:
                    continue
                size += len(json.dumps(descriptor)) + 1
                if len(page) == limit or (page and size > MAX_PAGE_BYTES):
                    return page, True
                page.append(descriptor)
                after = digest
            if last:
                return page, False
            after = listed[-1][0]

    async def _fallback(
        self, repository: RepositoryName, subject: Digest, after: str
    ) -> list[tuple[str, Descriptor]]:
        """The entries of the index under the fallback tag, if there is one."""
        try:
            stored = await self._manifests.get(repository, fallback_tag(subject))
        except ManifestUnknown:
            return []
        if stored.media_type not in INDEX_TYPES:
            return []
        try:
            children = parse_manifest(stored.payload, stored.media_type).children
        except ManifestInvalid:
            return []
        found = {
            child.digest: _entry(child)
            for child in children
            if child.digest > after and await self._is_present(repository, child.digest)
        }
        return sorted(found.items(), key=_by_digest)

    async def _is_present(self, repository: RepositoryName, digest: Digest) -> bool:
        try:
            await self._manifests.head(repository, digest)
        except ManifestUnknown:
            return False
        return True


def _entry(listed: descriptors.Descriptor) -> Descriptor:
    return referrer_descriptor(
        media_type=listed.media_type,
        digest=listed.digest,
        size=listed.size,
        artifact_type=listed.artifact_type,
        annotations=listed.annotations,
    )


def _by_digest(entry: tuple[str, Descriptor]) -> str:
    return entry[0]


def _joined(
    listed: Iterable[tuple[str, Descriptor]],
    legacy: Iterable[tuple[str, Descriptor]],
    after: str,
    until: str | None,
) -> Iterator[tuple[str, Descriptor]]:
    """Both lists in order, each digest once; what the catalogue says wins."""
    inside = (
        entry for entry in legacy if entry[0] > after and (until is None or entry[0] <= until)
    )
    previous = ""
    for entry in merge(listed, inside, key=_by_digest):
        if entry[0] != previous:
            yield entry
        previous = entry[0]
