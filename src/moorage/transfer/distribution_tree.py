# SPDX-License-Identifier: Apache-2.0
"""The folder in which distribution (registry:2) keeps its data, read and never changed.

    <root>/docker/registry/v2/repositories/<name>/_manifests/revisions/<algorithm>/<hex>/link
                                                 /_manifests/tags/<tag>/current/link
                                                 /_layers/<algorithm>/<hex>/link
                             /blobs/<algorithm>/<2 hex>/<hex>/data

A link is a file that holds a digest. A folder without its link was deleted there. A link that is
empty was cut off by a crash; where its folder names the same digest, the folder is believed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid, NameInvalid, TagInvalid, quoted
from moorage.spec.names import parse_repository, parse_tag
from moorage.storage.adoption import open_regular
from moorage.storage.protocol import PIECE_BYTES
from moorage.transfer.distribution_source import MAX_LINK_BYTES, MAX_MANIFEST_BYTES, Revision
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from moorage.spec.names import RepositoryName, TagName

_INSIDE = Path("docker", "registry", "v2")


class DistributionTree:
    """One such folder; `complain` hears of names and links that cannot be used."""

    def __init__(self, source: Path, complain: Callable[[str, str, str], None]) -> None:
        """Find the data below `source`, which may be any of the upper folders.

        Raises:
            CannotTransfer: there is none.
        """
        root = find_tree(source)
        if root is None:
            raise CannotTransfer(
                f"{source} is not the data of distribution: it has no {_INSIDE}/repositories; "
                "name the folder that its configuration calls rootdirectory"
            )
        self.root = root
        self._complain = complain

    async def count(self) -> int:
        return sum(1 for _ in self._names(lambda *_: None))

    async def repositories(self) -> AsyncIterator[FolderRepository]:
        """All repositories, in the order of the folders."""
        for name in list(self._names(self._complain)):
            yield FolderRepository(self, name)

    def _names(self, complain: Callable[[str, str, str], None]) -> Iterator[RepositoryName]:
        yield from self._below(self.root / "repositories", "", complain)

    def _below(
        self, folder: Path, prefix: str, complain: Callable[[str, str, str], None]
    ) -> Iterator[RepositoryName]:
        entries = sorted(_folders(folder))
        if prefix and not {"_manifests", "_layers"}.isdisjoint(entries):
            try:
                yield parse_repository(prefix)
            except NameInvalid as error:
                complain(prefix, "repository", error.message)
        for name in entries:
            if not name.startswith("_"):
                below = f"{prefix}/{name}" if prefix else name
                yield from self._below(folder / name, below, complain)

    def revisions(self, repository: RepositoryName) -> Iterator[Revision]:
        """The manifests of a repository, tagged or not."""
        folder = self._folder(repository) / "_manifests" / "revisions"
        for digest, link in self._linked(repository, folder, "manifest"):
            yield Revision(digest, link.stat().st_mtime_ns // 1000)

    def layers(self, repository: RepositoryName) -> Iterator[Digest]:
        """The blobs of a repository, configs among them."""
        for digest, _ in self._linked(repository, self._folder(repository) / "_layers", "blob"):
            yield digest

    def tags(self, repository: RepositoryName) -> Iterator[tuple[TagName, Digest]]:
        """The tags of a repository and what they point at."""
        folder = self._folder(repository) / "_manifests" / "tags"
        for name in sorted(_folders(folder)):
            text = _read_link(folder / name / "current" / "link")
            if text is None:
                continue
            try:
                yield parse_tag(name), Digest.parse(text)
            except TagInvalid as error:
                self._complain(repository, f"tag {quoted(name)}", error.message)
            except DigestInvalid:
                held = quoted(text) if text else "nothing"
                self._complain(repository, f"tag {name}", f"its link holds {held}, not a digest")

    def path(self, digest: Digest) -> Path:
        encoded = digest.encoded
        return self.root / "blobs" / digest.algorithm / encoded[:2] / encoded / "data"

    async def manifest(self, digest: Digest) -> bytes:
        return _read_small(self.path(digest), MAX_MANIFEST_BYTES)

    async def pieces(self, digest: Digest) -> AsyncIterator[bytes]:
        file = open_regular(self.path(digest))
        try:
            while piece := os.read(file, PIECE_BYTES):
                yield piece
        finally:
            os.close(file)

    async def size(self, digest: Digest) -> int:
        file = open_regular(self.path(digest))
        try:
            return os.fstat(file).st_size
        finally:
            os.close(file)

    def _folder(self, repository: RepositoryName) -> Path:
        return self.root / "repositories" / repository

    def _linked(
        self, repository: RepositoryName, folder: Path, what: str
    ) -> Iterator[tuple[Digest, Path]]:
        for algorithm in sorted(_folders(folder)):
            for encoded in sorted(_folders(folder / algorithm)):
                link = folder / algorithm / encoded / "link"
                named = f"{algorithm}:{encoded}"
                text = _read_link(link)
                if text is None:
                    continue
                try:
                    digest = Digest.parse(named)
                except DigestInvalid as error:
                    self._complain(repository, what, error.message)
                    continue
                if text not in {"", named}:
                    self._complain(repository, f"{what} {named}", f"its link holds {quoted(text)}")
                    continue
                yield digest, link


class FolderRepository:
    """One repository of such a folder."""

    def __init__(self, tree: DistributionTree, name: RepositoryName) -> None:
        self._tree = tree
        self.name = name

    def revisions(self) -> Iterator[Revision]:
        return self._tree.revisions(self.name)

    def layers(self) -> Iterator[Digest]:
        return self._tree.layers(self.name)

    async def tags(self) -> Sequence[tuple[TagName, Digest]]:
        return list(self._tree.tags(self.name))


def find_tree(source: Path) -> Path | None:
    """The folder `docker/registry/v2` in or above which `source` was named."""
    for candidate in (source / _INSIDE, source / "registry" / "v2", source / "v2", source):
        if (candidate / "repositories").is_dir() and (
            candidate == source / _INSIDE or (candidate / "blobs").is_dir()
        ):
            return candidate
    return None


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _read_link(path: Path) -> str | None:
    """What a link holds; None if there is none."""
    try:
        return _read_small(path, MAX_LINK_BYTES).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None


def _read_small(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(f"it has more than {limit} bytes")
    return content
