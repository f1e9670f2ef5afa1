# SPDX-License-Identifier: Apache-2.0
"""Some workers at the same work, for stores that take their time to answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")


async def work_together(
    count: int, things: Iterable[T], work: Callable[[T], Awaitable[None]]
) -> None:
    """Do the work for each thing, `count` at a time; the first failure ends all of it."""
    waiting = iter(things)

    async def take_turns() -> None:
        # All workers take from the same things, one at a time.
        for thing in waiting:
            await work(thing)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(take_turns())
    except BaseExceptionGroup as failures:
        # One is what the caller knows how to explain; the others are mostly the same.
        raise failures.exceptions[0] from None
