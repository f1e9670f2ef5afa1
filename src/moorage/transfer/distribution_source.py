# SPDX-License-Identifier: Apache-2.0
"""What an import reads of distribution's data, wherever they are.

Invariant: nothing of a source is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from moorage.spec.digests import Digest
    from moorage.spec.names import RepositoryName, TagName


# distribution refuses larger manifests (maxManifestBodySize), so there are none among its data.
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
# A link holds a digest and perhaps a newline; sha512 has 135 characters.
MAX_LINK_BYTES = 256


@dataclass(frozen=True, slots=True)
class Revision:
    """A manifest of a repository; `pushed_at` is in microseconds."""

    digest: Digest
    pushed_at: int


class SourceRepository(Protocol):
    """What belongs to one repository."""

    @property
    def name(self) -> RepositoryName:
        """Its name."""
        ...

    def revisions(self) -> Iterable[Revision]:
        """Its manifests, tagged or not."""
        ...

    def layers(self) -> Iterable[Digest]:
        """Its blobs, configs among them."""
        ...

    async def tags(self) -> Sequence[tuple[TagName, Digest]]:
        """Its tags and what they point at."""
        ...


class DistributionSource(Protocol):
    """The data of a distribution."""

    async def count(self) -> int:
        """How many repositories there are; 0 where that takes as long as reading them."""
        ...

    def repositories(self) -> AsyncIterator[SourceRepository]:
        """All repositories."""
        ...

    async def manifest(self, digest: Digest) -> bytes:
        """The bytes of a manifest.

        Raises:
            FileNotFoundError: they are not there.
            OSError: they cannot be read, or are too many for a manifest.
        """
        ...

    def pieces(self, digest: Digest) -> AsyncIterator[bytes]:
        """The bytes of a blob.

        Raises:
            FileNotFoundError: they are not there.
            OSError: they cannot be read.
        """
        ...

    async def size(self, digest: Digest) -> int:
        """How long a blob is.

        Raises:
            FileNotFoundError: it is not there.
            OSError: nobody knows.
        """
        ...


@runtime_checkable
class FileSource(DistributionSource, Protocol):
    """The data of a distribution in a folder."""

    def path(self, digest: Digest) -> Path:
        """The file that holds a blob, whether it is there or not."""
        ...
