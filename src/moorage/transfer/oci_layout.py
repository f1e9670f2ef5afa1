# SPDX-License-Identifier: Apache-2.0
"""Takes the images of an OCI image layout, folder or archive, exactly as they are.

Everything that index.json leads to comes along: images, nested indexes, and what refers to them.
Invariant: children go before the index that lists them; an image of which a part is damaged stays
out and is reported, the others come in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from moorage.spec.errors import ManifestInvalid, OCIError
from moorage.spec.manifests import parse_manifest
from moorage.spec.media_types import MANIFEST_TYPES, OCI_INDEX
from moorage.spec.names import TagName, parse_tag
from moorage.transfer.image_names import split_foreign_image, split_image
from moorage.transfer.report import Arrived, CannotTransfer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moorage.spec.descriptors import Descriptor
    from moorage.spec.digests import Digest
    from moorage.spec.names import Reference, RepositoryName
    from moorage.transfer.deposit import Deposit
    from moorage.transfer.files import Files
    from moorage.transfer.report import ImportReport

LAYOUT_FILE: Final = "oci-layout"
INDEX_FILE: Final = "index.json"
REF_NAME: Final = "org.opencontainers.image.ref.name"
# What Docker and containerd write beside it: the full name, registry included.
FULL_NAME: Final = "io.containerd.image.name"
# What an export of ours writes: the repository, which may look like a registry's name and is none.
REPOSITORY: Final = "vnd.moorage.repository"
# Manifests may be as long as the registry takes them; see limits.manifestbytes.
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024
# Clients nest an index in an index at most; deeper than this is a mistake or a trap.
MAX_NESTING: Final = 8

Destination = tuple["RepositoryName", "TagName | None"]


def blob_name(digest: Digest) -> str:
    """Where a layout has the content of a digest."""
    return f"blobs/{digest.algorithm}/{digest.encoded}"


class LayoutImport:
    """One import of one layout."""

    def __init__(self, files: Files, deposit: Deposit, report: ImportReport) -> None:
        self._files = files
        self._deposit = deposit
        self._report = report
        self._taken: set[tuple[RepositoryName, Digest]] = set()

    async def run(self, repository: RepositoryName | None, tags: Sequence[TagName]) -> None:
        """Take all images; `repository` and `tags` go before the names in the layout.

        Raises:
            CannotTransfer: the layout is unusable, or does not say what an image is called.
        """
        payload = self._files.read(INDEX_FILE, MAX_MANIFEST_BYTES)
        try:
            images = parse_manifest(payload, OCI_INDEX).children
        except OCIError as error:
            raise CannotTransfer(f"{INDEX_FILE}: {error.message}") from None
        if not images:
            raise CannotTransfer(f"{INDEX_FILE} lists no image")
        if tags and len({image.digest for image in images}) != 1:
            raise CannotTransfer(
                f"--tag needs a layout with one image, and this one has {len(images)}; leave it "
                "out to keep the tags in the layout"
            )
        destinations = [_destination(image.annotations, repository) for image in images]
        for image, (name, tag) in zip(images, destinations, strict=True):
            await self._take_image(name, image, tags or ([tag] if tag else []))

    async def _take_image(
        self, repository: RepositoryName, image: Descriptor, tags: Sequence[TagName]
    ) -> None:
        what = f"image {', '.join(tags) or image.digest}"
        try:
            await self._take(repository, image, tags, MAX_NESTING)
        except OCIError as error:
            reason = "; ".join(message for _, message, _ in error.items())
            self._report.skip(repository, what, reason)
        except CannotTransfer as error:
            self._report.skip(repository, what, str(error))
        else:
            self._report.arrived.append(Arrived(repository, tuple(tags), image.digest))

    async def _take(
        self,
        repository: RepositoryName,
        descriptor: Descriptor,
        tags: Sequence[TagName],
        nesting: int,
    ) -> None:
        if (repository, descriptor.digest) in self._taken and not tags:
            return
        if nesting == 0:
            raise ManifestInvalid(f"indexes are nested more than {MAX_NESTING} deep")
        payload = self._files.read(blob_name(descriptor.digest), MAX_MANIFEST_BYTES)
        manifest = parse_manifest(payload, descriptor.media_type or None)
        for blob in (manifest.config, *manifest.layers):
            if blob is not None:
                await self._take_blob(repository, blob)
        for child in manifest.children:
            if child.media_type and child.media_type not in MANIFEST_TYPES:
                await self._take_blob(repository, child)
            elif self._files.size(blob_name(child.digest)) is not None:
                await self._take(repository, child, (), nesting - 1)
        await self._deposit.manifest(
            repository, payload, manifest.media_type, descriptor.digest, tags
        )
        self._taken.add((repository, descriptor.digest))

    async def _take_blob(self, repository: RepositoryName, blob: Descriptor) -> None:
        """Take what is in the layout; whether it can be done without is decided at the push."""
        name = blob_name(blob.digest)
        if self._files.size(name) is not None:
            await self._deposit.blob(repository, blob.digest, blob.size, name)


def _destination(annotations: Mapping[str, str], wanted: RepositoryName | None) -> Destination:
    """Where an entry of index.json goes: by its annotations, unless a repository is wanted."""
    try:
        repository, reference = _named(annotations)
    except OCIError as error:
        raise CannotTransfer(f"{INDEX_FILE} names an image wrongly: {error.message}") from None
    repository = wanted or repository
    if repository is None:
        raise CannotTransfer(
            "the layout does not say what its images are called; name the repository with "
            "--repository"
        )
    return repository, None if reference is None or ":" in reference else TagName(reference)


def _named(annotations: Mapping[str, str]) -> tuple[RepositoryName | None, Reference | None]:
    """What the annotations call an image, as far as they do."""
    name = annotations.get(REF_NAME, "")
    is_full = any(sign in name for sign in "/:@")
    if ours := annotations.get(REPOSITORY):
        return split_image(name if is_full else f"{ours}:{name}" if name else ours)
    if full := annotations.get(FULL_NAME):
        return split_foreign_image(full)
    if is_full:
        return split_foreign_image(name)
    return None, parse_tag(name) if name else None
