# SPDX-License-Identifier: Apache-2.0
"""Writes images as an OCI image layout, in a folder or a tar.

Invariant: every byte is compared with its digest while it is written, and a destination that bears
its name is complete; the same images always give the same tar.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moorage.spec.digests import digest_from, new_hasher
from moorage.spec.errors import OCIError
from moorage.spec.manifests import SCHEMA_VERSION
from moorage.spec.media_types import OCI_INDEX
from moorage.transfer.oci_layout import INDEX_FILE, LAYOUT_FILE, REF_NAME, REPOSITORY, blob_name
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from moorage.content.service import Content
    from moorage.observe.progress import Progress
    from moorage.spec.digests import Digest
    from moorage.storage.protocol import BlobStore
    from moorage.transfer.picking import Entry, Picked, Piece
    from moorage.transfer.writers import LayoutWriter

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class Export:
    """Writes what was picked."""

    def __init__(self, content: Content, store: BlobStore, progress: Progress) -> None:
        self._content = content
        self._store = store
        self._progress = progress

    async def write(self, picked: Picked, writer: LayoutWriter) -> None:
        """Write the whole layout.

        Raises:
            CannotTransfer: something in the registry is damaged; what is written is useless.
        """
        self._progress.begin("writing content", picked.size, "bytes")
        await writer.write(LAYOUT_FILE, len(_LAYOUT), _whole(_LAYOUT))
        index = index_of(picked.entries.values())
        await writer.write(INDEX_FILE, len(index), _whole(index))
        for digest in sorted(picked.pieces):
            piece = picked.pieces[digest]
            await writer.write(blob_name(digest), piece.size, self._checked(digest, piece))

    async def _checked(self, digest: Digest, piece: Piece) -> AsyncIterator[bytes]:
        hasher = new_hasher(digest.algorithm)
        async for part in self._read(digest, piece):
            hasher.update(part)
            self._progress.advance(len(part))
            yield part
        actual = digest_from(digest.algorithm, hasher)
        if actual != digest:
            raise CannotTransfer(
                f"{digest} in {piece.repository} is damaged: it hashes to {actual}; see "
                "`moorage check`"
            )

    async def _read(self, digest: Digest, piece: Piece) -> AsyncIterator[bytes]:
        try:
            if piece.is_manifest:
                stored = await self._content.manifests.get(piece.repository, digest)
                yield stored.payload
                return
            blob = await self._content.blobs.find(piece.repository, digest)
            async for part in self._store.read(blob.key):
                yield part
        except (OCIError, KeyError):
            message = f"{digest} left {piece.repository} during the export; export again"
            raise CannotTransfer(message) from None


def index_of(entries: Iterable[Entry]) -> bytes:
    """index.json. A tag alone names the images of one repository; of several, both are needed."""
    ordered = sorted(entries, key=lambda entry: (entry.repository, entry.tag or "", entry.digest))
    several = len({entry.repository for entry in ordered}) > 1
    manifests = []
    for entry in ordered:
        descriptor: dict[str, object] = {
            "mediaType": entry.media_type,
            "digest": entry.digest,
            "size": entry.size,
        }
        name = _name_of(entry, several=several)
        annotations = {REPOSITORY: entry.repository}
        descriptor["annotations"] = {REF_NAME: name, **annotations} if name else annotations
        manifests.append(descriptor)
    index = {"schemaVersion": SCHEMA_VERSION, "mediaType": OCI_INDEX, "manifests": manifests}
    return json.dumps(index, separators=(",", ":")).encode("ascii")


def _name_of(entry: Entry, *, several: bool) -> str:
    if not several:
        return entry.tag or ""
    if entry.tag is None:
        return f"{entry.repository}@{entry.digest}"
    return f"{entry.repository}:{entry.tag}"


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
