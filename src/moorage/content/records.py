# SPDX-License-Identifier: Apache-2.0
"""Manifests a second time, as records beside the blobs: the day the database is lost.

Invariant: the record of a manifest is in the store before its push is acknowledged. The name tells
the time of the push too, so that two pushes of the same manifest never share a record, and whoever
removes one cannot hit another's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.spec.digests import Digest
from moorage.spec.errors import InsufficientStorage, OCIError
from moorage.spec.names import RepositoryName

if TYPE_CHECKING:
    from moorage.storage.protocol import RecordKeeper

FOLDER = "manifests"
# No part of a repository's name begins with an underscore, so no repository hides in another's.
_NAME = re.compile(
    rf"{FOLDER}/(?P<repository>.+)/_(?P<algorithm>[a-z0-9]+)/(?P<hex>[0-9a-f]+)\.(?P<at>[0-9]+)"
)


@dataclass(frozen=True, slots=True)
class RecordName:
    """What a record's name tells."""

    repository: RepositoryName
    digest: Digest
    pushed_at: int

    def __str__(self) -> str:
        digest = self.digest
        return (
            f"{FOLDER}/{self.repository}/_{digest.algorithm}/{digest.encoded}.{self.pushed_at:016d}"
        )

    @classmethod
    def parse(cls, name: str) -> RecordName | None:
        """The parts of a name; None when it is no manifest's."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        digest = Digest(f"{match['algorithm']}:{match['hex']}")
        return cls(RepositoryName(match["repository"]), digest, int(match["at"]))


@dataclass(frozen=True, slots=True)
class ManifestRecord:
    """A manifest with everything that its row says of it and its payload does not."""

    name: RecordName
    media_type: str
    pushed_by: str
    payload: bytes

    def content(self) -> bytes:
        """One line of JSON, and after it the exact payload."""
        head = {
            "format": 1,
            "repository": self.name.repository,
            "digest": self.name.digest,
            "mediaType": self.media_type,
            "size": len(self.payload),
            "pushedAt": self.name.pushed_at,
            "pushedBy": self.pushed_by,
        }
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + self.payload

    @classmethod
    def parse(cls, name: RecordName, content: bytes) -> ManifestRecord:
        """The manifest that a record keeps.

        Raises:
            ValueError: it is damaged, with what is wrong.
        """
        line, _, payload = content.partition(b"\n")
        head = json.loads(line)
        if not isinstance(head, dict) or head.get("format") != 1:
            raise ValueError("it is no record of a manifest that this version can read")
        media_type, pushed_by = head.get("mediaType"), head.get("pushedBy")
        if not isinstance(media_type, str) or not isinstance(pushed_by, str):
            raise ValueError("its first line is incomplete")  # noqa: TRY004 (damage, not a bug)
        if Digest.of(payload, name.digest.algorithm) != name.digest:
            raise ValueError("its payload does not hash to its digest")
        return cls(name, media_type, pushed_by, payload)


class ManifestRecords:
    """Writes and removes the records of pushes."""

    def __init__(self, keeper: RecordKeeper) -> None:
        self._keeper = keeper

    async def write(self, record: ManifestRecord) -> None:
        """Write a record.

        Raises:
            InsufficientStorage, Unavailable: the store refused.
        """
        await self._keeper.put_record(str(record.name), record.content())

    async def remove(self, name: RecordName) -> None:
        """Remove a record whose manifest is not there; a failure leaves it, which does no harm."""
        try:
            await self._keeper.delete_record(str(name))
        except (OCIError, OSError):
            # A rebuild skips what is marked as deleted and says what is incomplete.
            return


def is_final(refusal: OCIError) -> bool:
    """Whether a transaction that ended like this has certainly changed nothing."""
    return refusal.status < 500 or isinstance(refusal, InsufficientStorage)  # noqa: PLR2004 (HTTP)
