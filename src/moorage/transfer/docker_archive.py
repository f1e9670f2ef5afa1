# SPDX-License-Identifier: Apache-2.0
"""Takes the images of a `docker save` archive.

Such an archive has configs and layers but no manifests, so one is written here: it names the bytes
of config and layers as they stand, uncompressed layers as uncompressed. Importing the same archive
again gives the same digest. Invariant: a layer is what the config says (diff_id), or compressed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec

from moorage.spec.digests import Digest, digest_from, new_hasher
from moorage.spec.errors import DigestInvalid, OCIError
from moorage.spec.media_types import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)
from moorage.spec.names import TagName
from moorage.transfer.image_names import split_foreign_image
from moorage.transfer.report import Arrived, CannotTransfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.spec.names import RepositoryName
    from moorage.transfer.deposit import Deposit
    from moorage.transfer.files import Files
    from moorage.transfer.report import ImportReport

CONTENTS_FILE: Final = "manifest.json"
# The longest real ones, of archives with many images, have some 100 KiB.
MAX_JSON_BYTES: Final = 4 * 1024 * 1024
_COMPRESSED: Final = ((b"\x1f\x8b", OCI_LAYER_GZIP), (b"\x28\xb5\x2f\xfd", OCI_LAYER_ZSTD))


class SavedImage(msgspec.Struct, rename="pascal"):
    """One entry of manifest.json."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


class _RootFS(msgspec.Struct):
    diff_ids: list[str]


class _Config(msgspec.Struct):
    rootfs: _RootFS


class DockerArchiveImport:
    """One import of one archive."""

    def __init__(self, files: Files, deposit: Deposit, report: ImportReport) -> None:
        self._files = files
        self._deposit = deposit
        self._report = report
        self._digests: dict[str, tuple[Digest, str]] = {}

    async def run(self, repository: RepositoryName | None, tags: Sequence[TagName]) -> None:
        """Take all images; `repository` and `tags` go before the names in the archive.

        Raises:
            CannotTransfer: the archive is unusable, or does not say what an image is called.
        """
        images = self._contents()
        if tags and len(images) != 1:
            raise CannotTransfer(
                f"--tag needs an archive with one image, and this one has {len(images)}; leave it "
                "out to keep the tags in the archive"
            )
        places = [_destinations(image.repo_tags or [], repository, tags) for image in images]
        _refuse_clashes(places)
        for image, destinations in zip(images, places, strict=True):
            for name, names in destinations.items():
                await self._take_image(image, name, names)

    def _contents(self) -> list[SavedImage]:
        try:
            payload = self._files.read(CONTENTS_FILE, MAX_JSON_BYTES)
            images = msgspec.json.decode(payload, type=list[SavedImage])
        except msgspec.MsgspecError as error:
            raise CannotTransfer(f"{CONTENTS_FILE} is not that of docker save: {error}") from None
        if not images:
            raise CannotTransfer(f"{CONTENTS_FILE} lists no image")
        return images

    async def _take_image(
        self, image: SavedImage, repository: RepositoryName, tags: Sequence[TagName]
    ) -> None:
        what = f"image {', '.join(tags) or image.config}"
        try:
            digest = await self._take(image, repository, tags)
        except OCIError as error:
            self._report.skip(repository, what, error.message)
        except CannotTransfer as error:
            self._report.skip(repository, what, str(error))
        else:
            self._report.arrived.append(Arrived(repository, tuple(tags), digest))

    async def _take(
        self, image: SavedImage, repository: RepositoryName, tags: Sequence[TagName]
    ) -> Digest:
        config = self._files.read(image.config, MAX_JSON_BYTES)
        diff_ids = _diff_ids(config, image.config)
        names = image.layers or []
        if len(names) != len(diff_ids):
            raise CannotTransfer(
                f"the config lists {len(diff_ids)} layers and {CONTENTS_FILE} {len(names)}"
            )
        layers = []
        for name, diff_id in zip(names, diff_ids, strict=True):
            size = self._files.size(name)
            if size is None:
                raise CannotTransfer(f"its layer {name} is missing")
            digest, media_type = await self._identify(name, diff_id)
            await self._deposit.blob(repository, digest, size, name)
            layers.append({"mediaType": media_type, "digest": digest, "size": size})
        digest = Digest.of(config)
        await self._deposit.blob(repository, digest, len(config), image.config)
        payload = _manifest(digest, len(config), layers)
        digest = Digest.of(payload)
        await self._deposit.manifest(repository, payload, OCI_MANIFEST, digest, tags)
        return digest

    async def _identify(self, name: str, diff_id: str) -> tuple[Digest, str]:
        """The digest and media type of a layer's bytes.

        Raises:
            DigestInvalid: it is neither the layer of the config nor compressed.
        """
        found = self._digests.get(name)
        if found is None:
            hasher, start = new_hasher("sha256"), b""
            async for piece in self._files.pieces(name):
                start = start or piece[:4]
                hasher.update(piece)
            media_type = next(
                (kind for magic, kind in _COMPRESSED if start.startswith(magic)), OCI_LAYER
            )
            found = self._digests[name] = digest_from("sha256", hasher), media_type
        if found[1] == OCI_LAYER and found[0] != diff_id:
            raise DigestInvalid(f"the layer {name} hashes to {found[0]}, but should to {diff_id}")
        return found


def _diff_ids(config: bytes, name: str) -> list[str]:
    """What the uncompressed layers hash to, by the image's config."""
    try:
        return msgspec.json.decode(config, type=_Config).rootfs.diff_ids
    except msgspec.MsgspecError as error:
        raise CannotTransfer(f"{name} is not the config of an image: {error}") from None


def _manifest(config: Digest, size: int, layers: Sequence[dict[str, object]]) -> bytes:
    """The image manifest, always in the same bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config, "size": size},
        "layers": layers,
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _destinations(
    names: Sequence[str], repository: RepositoryName | None, tags: Sequence[TagName]
) -> dict[RepositoryName, list[TagName]]:
    """Which repositories an image goes into, and under which tags."""
    found: dict[RepositoryName, list[TagName]] = {}
    for text in names:
        try:
            name, reference = split_foreign_image(text)
        except OCIError as error:
            raise CannotTransfer(f"the archive names an image {text!a}: {error.message}") from None
        into = found.setdefault(repository or name, [])
        if reference is not None and ":" not in reference and not tags:
            into.append(TagName(reference))
    if repository is not None:
        found.setdefault(repository, [])
    if not found:
        raise CannotTransfer(
            "the archive does not say what its image is called; name the repository with "
            "--repository"
        )
    return {name: [*tags] if tags else known for name, known in found.items()}


def _refuse_clashes(places: Sequence[dict[RepositoryName, list[TagName]]]) -> None:
    seen: set[tuple[RepositoryName, TagName]] = set()
    for place in places:
        named = {(name, tag) for name, tags in place.items() for tag in tags}
        if clash := seen & named:
            name, tag = min(clash)
            raise CannotTransfer(
                f"two images of the archive would become {name}:{tag}; leave --repository out"
            )
        seen |= named
