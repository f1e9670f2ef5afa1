# SPDX-License-Identifier: Apache-2.0
"""One object on its way from the store into the cache, and everybody who reads it meanwhile.

The fetching runs at the store's pace, whatever its readers do: a slow client holds up nobody, since
what it has not read yet waits on the disk and not in memory. It ends early when the last reader has
gone. Whatever goes wrong with it, a reader is told only how far it came, and goes on by itself.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from moorage.storage.protocol import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from moorage.storage.cache_folder import CacheFolder, NewCopy


class Fill:
    """The fetching of one object."""

    def __init__(
        self, folder: CacheFolder, key: str, size: int, fetch: Callable[[], AsyncIterator[bytes]]
    ) -> None:
        """`fetch` gives the object's bytes, but no more than `size` + 1 of them.

        So it is seen whether the object ends after `size` bytes or was only asked for a part.
        """
        self.size = size
        self.dropped = False
        self._folder = folder
        self._key = key
        self._fetch = fetch
        self._copy: NewCopy | None = None
        self._written = 0
        self._ended = False
        self._settled = False
        self._readers = 0
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, ended: Callable[[], None]) -> None:
        """Begin; `ended` is told when it is over, one way or the other."""
        self._task = asyncio.create_task(self._run(ended))

    async def _run(self, ended: Callable[[], None]) -> None:
        try:
            await self._fetch_all()
        finally:
            # Only now: whoever asks for the object finds this until the object is found itself.
            ended()
            self._settled = True
            self._close_unread()

    async def _fetch_all(self) -> None:
        whole = False
        try:
            self._copy = await asyncio.to_thread(self._folder.begin, self._key, self.size)
            if self._copy is not None:
                whole = await self._fill(self._copy)
        except Exception:  # noqa: BLE001 (whatever it is: the file must go, and the room with it)
            # The readers find out by themselves: from the store, and each in its own words.
            whole = False
        finally:
            self._ended = True
            self._notify()
        if self._copy is not None:
            keep = whole and not self.dropped
            await asyncio.to_thread(self._copy.publish if keep else self._copy.abandon)
            if self.dropped:
                self._folder.drop(self._key)

    async def _fill(self, copy: NewCopy) -> bool:
        """Whether all of the object, and no more than that, is there now."""
        async for piece in self._fetch():
            part = piece[: self.size - self._written]
            copy.write(part)
            self._written += len(part)
            self._notify()
            if len(part) < len(piece) or self._is_unwanted():
                return False
        return self._written == self.size

    def _is_unwanted(self) -> bool:
        """Whether everybody has gone before the end; with the last byte a reader goes in peace."""
        return not self._readers and self._written < self.size

    def _notify(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While this lasts somebody wants the object."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._close_unread()

    def _close_unread(self) -> None:
        if self._settled and not self._readers and self._copy is not None:
            copy, self._copy = self._copy, None
            copy.close()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The bytes as they come, as far as they come."""
        position = 0
        while position < self.size:
            progress = self._progress
            if position < self._written and self._copy is not None:
                count = min(PIECE_BYTES, self._written - position)
                try:
                    piece = self._copy.read(count, position)
                except OSError:
                    return
                if not piece:
                    return
                position += len(piece)
                yield piece
            elif self._ended:
                return
            else:
                await progress.wait()


async def read_filling(
    fill: Fill, rest: Callable[[int], AsyncIterator[bytes]]
) -> AsyncGenerator[bytes]:
    """The bytes of an object that is being fetched; `rest` gives those that it did not come to."""
    position = 0
    with fill.reading():
        async with aclosing(fill.pieces()) as pieces:
            async for piece in pieces:
                position += len(piece)
                yield piece
    if position < fill.size:
        async for piece in rest(position):
            yield piece
