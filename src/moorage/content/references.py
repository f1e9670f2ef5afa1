# SPDX-License-Identifier: Apache-2.0
"""Whether what a manifest refers to is in its repository."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from moorage.spec.errors import ManifestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from moorage.db.protocol import Reader
    from moorage.spec.digests import Digest
    from moorage.spec.manifests import ManifestReference

# One statement asks for so many digests; a fixed few texts keep the prepared statements warm.
BATCH = 50

_BLOBS = """
    SELECT l.digest, b.size FROM repository_blobs l JOIN blobs b ON b.digest = l.digest
    WHERE l.repository_id = $1 AND l.digest IN ({digests})
"""
# A child of an index is a manifest; in caches that buildkit writes it may be a layer.
_CHILDREN = """
    SELECT digest FROM manifests
    WHERE repository_id = $1 AND deleted_at IS NULL AND digest IN ({digests})
    UNION ALL
    SELECT digest FROM repository_blobs WHERE repository_id = $1 AND digest IN ({digests})
"""
_PLACEHOLDERS = ", ".join(f"${position}" for position in range(2, BATCH + 2))
_FIND_BLOBS = _BLOBS.format(digests=_PLACEHOLDERS)
_FIND_CHILDREN = _CHILDREN.format(digests=_PLACEHOLDERS)


async def missing_references(
    reader: Reader, repository_id: int, references: Sequence[ManifestReference]
) -> list[Digest]:
    """The digests that are not in the repository, in the order in which they are referred to.

    Raises:
        ManifestInvalid: a blob has another size than its descriptor says.
    """
    blobs = [reference for reference in references if reference.kind != "child"]
    children = [reference for reference in references if reference.kind == "child"]
    sizes: dict[str, int] = {}
    for batch in _batches([reference.descriptor.digest for reference in blobs]):
        rows = await reader.fetch_all(_FIND_BLOBS, repository_id, *batch)
        sizes.update((digest, size) for digest, size in rows)
    present = set(sizes)
    for batch in _batches([reference.descriptor.digest for reference in children]):
        rows = await reader.fetch_all(_FIND_CHILDREN, repository_id, *batch)
        present.update(digest for (digest,) in rows)
    _check_sizes(blobs, sizes)
    return [
        reference.descriptor.digest
        for reference in references
        if reference.descriptor.digest not in present
    ]


def _batches(digests: Sequence[Digest]) -> Iterator[tuple[Digest, ...]]:
    """The distinct digests in tuples of `BATCH`, the last one filled up by repetition."""
    distinct = iter(dict.fromkeys(digests))
    while batch := tuple(islice(distinct, BATCH)):
        yield batch + batch[-1:] * (BATCH - len(batch))


def _check_sizes(blobs: Sequence[ManifestReference], sizes: dict[str, int]) -> None:
    for reference in blobs:
        stated = reference.descriptor.size
        actual = sizes.get(reference.descriptor.digest, stated)
        if stated != actual:
            raise ManifestInvalid(
                f"The manifest says that {reference.descriptor.digest} has {stated} bytes, but it "
                f"has {actual}; correct the descriptor."
            )
