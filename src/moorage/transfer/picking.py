# SPDX-License-Identifier: Apache-2.0
"""What an export must write: all that the wanted images lead to, found before any is written.

Only digests and sizes are kept, so that an export of thousands of images needs little memory; the
bytes are read when they are written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moorage.spec.digests import Digest
from moorage.spec.errors import BlobUnknown, ManifestUnknown
from moorage.spec.manifests import parse_manifest
from moorage.spec.names import TagName
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from moorage.content.manifests import StoredManifest
    from moorage.content.service import Content
    from moorage.spec.manifests import Manifest
    from moorage.spec.names import Reference, RepositoryName

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the layout's index.json; no tag for what is there without a name."""

    repository: RepositoryName
    tag: str | None
    media_type: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the layout: where its bytes come from, and how many they are."""

    repository: RepositoryName
    size: int
    is_manifest: bool


@dataclass(slots=True)
class Picked:
    """All that an export writes; `absent` is what a manifest names and the registry has not."""

    entries: dict[tuple[str, str | None, Digest], Entry] = field(default_factory=dict)
    pieces: dict[Digest, Piece] = field(default_factory=dict)
    absent: dict[Digest, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many bytes of content that is."""
        return sum(piece.size for piece in self.pieces.values())


class Picking:
    """Follows references from the images that are wanted."""

    def __init__(self, content: Content, *, referrers: bool) -> None:
        """With `referrers` signatures, SBOMs and the like of every image come along."""
        self._content = content
        self._referrers = referrers
        self._seen: set[tuple[RepositoryName, Digest]] = set()
        self.picked = Picked()

    async def add(self, repository: RepositoryName, reference: Reference | None) -> None:
        """Want an image, or all tags of a repository.

        Raises:
            CannotTransfer: there is no such image or repository.
        """
        if reference is None:
            await self._add_all(repository)
            return
        try:
            stored = await self._content.manifests.get(repository, reference)
        except ManifestUnknown:
            sign = "@" if isinstance(reference, Digest) else ":"
            message = f"there is no image {repository}{sign}{reference}"
            raise CannotTransfer(message) from None
        tag = None if isinstance(reference, Digest) else reference
        self._enter(repository, tag, stored)
        await self._follow(repository, stored)

    async def _add_all(self, repository: RepositoryName) -> None:
        after = ""
        while page := await self._content.tags.page(repository, after, _PAGE):
            for tag in page:
                await self.add(repository, TagName(tag))
            after = page[-1]
        if not after:
            raise CannotTransfer(f"there is no repository {repository} with a tag")

    def _enter(self, repository: RepositoryName, tag: str | None, stored: StoredManifest) -> None:
        entry = Entry(repository, tag, stored.media_type, stored.digest, stored.size)
        self.picked.entries[repository, tag, stored.digest] = entry

    async def _follow(self, repository: RepositoryName, first: StoredManifest) -> None:
        waiting = [first]
        while waiting:
            stored = waiting.pop()
            if (repository, stored.digest) in self._seen:
                continue
            self._seen.add((repository, stored.digest))
            self.picked.pieces[stored.digest] = Piece(repository, stored.size, is_manifest=True)
            manifest = parse_manifest(stored.payload, stored.media_type)
            waiting += await self._children(repository, manifest)
            await self._pick_blobs(repository, stored.digest, manifest)
            if self._referrers:
                waiting += await self._referring(repository, stored.digest)

    async def _children(
        self, repository: RepositoryName, manifest: Manifest
    ) -> list[StoredManifest]:
        found = []
        for child in manifest.children:
            try:
                found.append(await self._content.manifests.get(repository, child.digest))
            except ManifestUnknown:
                await self._pick_blob(repository, child.digest)
        return found

    async def _pick_blobs(
        self, repository: RepositoryName, digest: Digest, manifest: Manifest
    ) -> None:
        for reference in manifest.references():
            if reference.kind not in {"config", "layer"}:
                continue
            found = await self._pick_blob(repository, reference.descriptor.digest)
            if not found and reference.required:
                raise CannotTransfer(
                    f"{repository}@{digest} is not complete: {reference.descriptor.digest} is "
                    "missing; see `moorage check`"
                )

    async def _pick_blob(self, repository: RepositoryName, digest: Digest) -> bool:
        try:
            blob = await self._content.blobs.find(repository, digest)
        except BlobUnknown:
            self.picked.absent[digest] = repository
            return False
        self.picked.pieces[digest] = Piece(repository, blob.size, is_manifest=False)
        return True

    async def _referring(self, repository: RepositoryName, subject: Digest) -> list[StoredManifest]:
        found = []
        after, more = "", True
        while more:
            page, more = await self._content.referrers.page(repository, subject, (), after, _PAGE)
            for descriptor in page:
                after = str(descriptor["digest"])
                try:
                    stored = await self._content.manifests.get(repository, Digest(after))
                except ManifestUnknown:
                    continue
                self._enter(repository, None, stored)
                found.append(stored)
        return found
