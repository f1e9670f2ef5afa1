# SPDX-License-Identifier: Apache-2.0
"""A stream on its way into an object, in parts: gathering them, handing them over, paying for them.

`Parts` gathers, `PartFeed` is the iterator that the library pulls from, `PartBudget` bounds what
all uploads of the process hold together. Invariants: a stream is only ever read by the task of its
request; a part is paid for from before its first byte until the store has it; and whoever waits for
memory holds none, so that uploads cannot wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# How long a push waits for its first part of the memory; then its client may come back.
MEMORY_WAIT_SECONDS = 30.0
RETRY_SECONDS = 10


class PartBudget:
    """The memory for parts, counted in whole parts; first come, first served."""

    def __init__(self, parts: int, *, wait_seconds: float = MEMORY_WAIT_SECONDS) -> None:
        self._free = max(parts, 1)
        self._wait_seconds = wait_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_contested(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    async def take(self) -> None:
        """Wait for the memory of a part.

        Raises:
            Unavailable: it took too long.
        """
        if self.try_take():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except TimeoutError:
            self._leave(turn)
            raise Unavailable(
                "Too many uploads are under way for the memory that the registry may use for them "
                "(limits.uploadmemory); try again later.",
                retry_after=RETRY_SECONDS,
            ) from None
        except BaseException:
            self._leave(turn)
            raise

    def _leave(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.give_back()
        elif turn in self._waiting:
            # Not there: somebody gave a part back meanwhile, and has passed it over.
            self._waiting.remove(turn)

    def try_take(self) -> bool:
        """Take the memory of a part if it is free and nobody waits for it."""
        if self._free and not self._waiting:
            self._free -= 1
            return True
        return False

    def give_back(self) -> None:
        """Return the memory of a part."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Lease:
    """What one upload has taken of the budget."""

    def __init__(self, budget: PartBudget) -> None:
        self._budget = budget
        self._held = 0

    async def take(self) -> None:
        """Wait for the first part's memory; nothing may be held yet."""
        await self._budget.take()
        self._held += 1

    def may_gather(self) -> bool:
        """Whether a second part may be gathered while the first is on its way."""
        if self._held > 1:
            return not self._budget.is_contested
        if self._budget.try_take():
            self._held += 1
            return True
        return False

    def shrink(self) -> None:
        """Nothing is on its way any more: one part's memory is enough."""
        self._give_back(1)

    def release(self) -> None:
        """Everything has been sent or given up."""
        self._give_back(0)

    def _give_back(self, kept: int) -> None:
        while self._held > kept:
            self._held -= 1
            self._budget.give_back()


class Parts:
    """A stream, gathered into parts of one size."""

    def __init__(self, pieces: AsyncIterator[bytes], part_bytes: int) -> None:
        self._pieces = pieces
        self._part_bytes = part_bytes
        self._ahead: deque[bytes | memoryview] = deque()
        self._filled: memoryview | None = None
        self._ended = False

    async def is_shorter(self, size: int) -> bool:
        """Read up to so many bytes ahead; whether the stream ends before."""
        ahead = 0
        while ahead < size:
            piece = await self._next()
            if piece is None:
                return True
            self._ahead.append(piece)
            ahead += len(piece)
        return False

    async def fits_one(self) -> bool:
        """Whether everything that is left fits one part, which is gathered for this."""
        self._filled = await self._fill()
        return not self._ahead and await self.is_shorter(1)

    async def more(self) -> bool:
        """Whether anything is left."""
        return bool(self._filled) or bool(self._ahead) or not await self.is_shorter(1)

    def left_over(self) -> bytes:
        """What was read and is in no part."""
        content = b"".join(self._ahead)
        self._ahead.clear()
        return content

    async def fill(self) -> memoryview:
        """The next part: full, unless the stream ends."""
        part, self._filled = self._filled, None
        return part if part is not None else await self._fill()

    async def _fill(self) -> memoryview:
        """The memory is new each time: a broken connection may still be reading an earlier part."""
        part = bytearray(self._part_bytes)
        filled = 0
        while filled < self._part_bytes:
            piece = self._ahead.popleft() if self._ahead else await self._next()
            if piece is None:
                break
            room = self._part_bytes - filled
            if len(piece) > room:
                self._ahead.appendleft(memoryview(piece)[room:])
                piece = memoryview(piece)[:room]
            part[filled : filled + len(piece)] = piece
            filled += len(piece)
        return memoryview(part)[:filled]

    async def _next(self) -> bytes | None:
        """The next piece with something in it."""
        while not self._ended:
            try:
                piece = await anext(self._pieces)
            except StopAsyncIteration:
                self._ended = True
            else:
                if piece:
                    return piece
        return None


class FeedBroken(Exception):
    """What the library gets to see when a stream cannot be finished: it drops what it has sent."""


class PartFeed:
    """Hands parts to the library, which asks for each when it has room for it.

    With one part on its way at most, being asked again after a part was handed over means that all
    parts before that one are stored. An empty part is nothing to send, but has to wait as well:
    being asked again after it means that nothing is on its way.
    """

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._reply: asyncio.Future[memoryview | bytes | None] | None = None
        self._failed = False
        self._closed = False

    def __aiter__(self) -> PartFeed:
        return self

    async def __anext__(self) -> memoryview | bytes:
        if self._failed:
            raise FeedBroken
        self._reply = asyncio.get_running_loop().create_future()
        self._asked.set()
        part = await self._reply
        if part is None:
            raise StopAsyncIteration
        return part

    async def give(self, part: memoryview | bytes) -> bool:
        """Hand a part over and wait to be asked for the next; False when nobody will ask again."""
        return await self._answer(part) and await self._is_asked()

    async def drain(self) -> bool:
        """Wait until nothing is on its way; False as for `give`."""
        return await self.give(b"")

    async def end(self) -> None:
        """There are no more parts."""
        await self._answer(None)

    def fail(self) -> None:
        """There will be no more parts, and those that were sent are to be dropped."""
        self._failed = True
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(FeedBroken())

    def close(self) -> None:
        """Nobody will ask again."""
        self._closed = True
        self._asked.set()

    async def _answer(self, part: memoryview | bytes | None) -> bool:
        if not await self._is_asked() or self._reply is None or self._reply.done():
            return False
        self._asked.clear()
        self._reply.set_result(part)
        return True

    async def _is_asked(self) -> bool:
        await self._asked.wait()
        return not self._closed
