# SPDX-License-Identifier: Apache-2.0
"""The memory that all uploads share: taken and given back, whoever leaves in between."""

from __future__ import annotations

import asyncio

import pytest

from moorage.storage.object_upload import PartBudget


def test_who_leaves_as_memory_comes_back_leaves_in_peace() -> None:
    """A waiter that is canceled just before a part is given back ends as canceled, nothing else."""

    async def scenario() -> None:
        budget = PartBudget(1)
        await budget.take()
        waiting = asyncio.create_task(budget.take())
        await asyncio.sleep(0)
        assert budget.is_contested

        waiting.cancel()
        budget.give_back()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert budget.try_take()
        assert not budget.try_take()

    asyncio.run(scenario())


def test_who_leaves_after_its_turn_has_come_gives_it_on() -> None:
    """A part given to a waiter that is canceled in the same moment is not lost."""

    async def scenario() -> None:
        budget = PartBudget(1)
        await budget.take()
        waiting = asyncio.create_task(budget.take())
        await asyncio.sleep(0)

        budget.give_back()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert budget.try_take()

    asyncio.run(scenario())
