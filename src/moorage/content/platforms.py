# SPDX-License-Identifier: Apache-2.0
"""Which image of an index an old client means, one that has never heard of indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.spec.errors import ManifestUnknown
from moorage.spec.manifests import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.content.manifests import Manifests, StoredManifest
    from moorage.spec.names import RepositoryName

# What distribution gives to such clients, and what nearly all of them run on.
DEFAULT_OS = "linux"
DEFAULT_ARCHITECTURE = "amd64"


class Platforms:
    """Chooses among the children of an index."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests

    async def default_image(
        self,
        repository: RepositoryName,
        index: StoredManifest,
        accepts: Callable[[str], bool],
    ) -> StoredManifest | None:
        """The child for the default platform, if it is here and the client takes its type."""
        for child in parse_manifest(index.payload, index.media_type).children:
            platform = child.platform
            if (
                platform is None
                or (platform.os, platform.architecture) != (DEFAULT_OS, DEFAULT_ARCHITECTURE)
                or not accepts(child.media_type)
            ):
                continue
            try:
                return await self._manifests.get(repository, child.digest)
            except ManifestUnknown:
                continue
        return None
