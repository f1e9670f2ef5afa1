# SPDX-License-Identifier: Apache-2.0
"""Reading a blob that lies in several objects as if it were one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from moorage.storage.protocol import BlobStore, Extent


async def read_extents(
    store: BlobStore, extents: Iterable[Extent], start: int, stop: int
) -> AsyncIterator[bytes]:
    """The bytes from `start` to before `stop` of the extents, one after the other.

    Raises:
        KeyError: one of them is not stored.
    """
    position = 0
    for extent in extents:
        first, last = max(start - position, 0), min(stop - position, extent.size)
        if first < last:
            async for piece in store.read(extent.key, first, last):
                yield piece
        position += extent.size
