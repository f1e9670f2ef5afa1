# SPDX-License-Identifier: Apache-2.0
"""What every store must do that keeps records. A store's test module subclasses the suite."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from moorage.storage.protocol import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NAME = "manifests/team/app/_sha256/abc.0001"


async def listed(keeper: RecordKeeper, folder: str) -> list[str]:
    """The names below a folder, in order."""
    return sorted([name async for name in keeper.records(folder)])


class RecordsContract:
    """The suite. `keeper` is what a subclass must give."""

    async def keeper(self) -> RecordKeeper:
        """A new, empty store, started."""
        raise NotImplementedError

    def keep(self, scenario: Callable[[RecordKeeper], Awaitable[None]]) -> None:
        """Run the scenario on a new store."""

        async def started() -> None:
            keeper = await self.keeper()
            assert isinstance(keeper, RecordKeeper)
            await scenario(keeper)
            assert await listed(keeper, "manifests") == []

        asyncio.run(started())

    @pytest.mark.parametrize("durable", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 5_000_000])
    def test_a_record_is_read_back(self, size: int, durable: bool) -> None:  # noqa: FBT001 (pytest)
        """What is kept under a name is read back, and replaced by what is kept there later."""

        async def scenario(keeper: RecordKeeper) -> None:
            await keeper.put_record(NAME, b"before", durable=durable)
            await keeper.put_record(NAME, b"x" * size, durable=durable)

            assert await keeper.get_record(NAME) == b"x" * size
            assert await listed(keeper, "manifests") == [NAME]
            await keeper.delete_record(NAME)

        self.keep(scenario)

    def test_an_unknown_record_is_a_key_error(self) -> None:
        """Reading what is not there says so, also above and below a record; deleting does not."""

        async def scenario(keeper: RecordKeeper) -> None:
            await keeper.put_record(NAME, b"x")
            for name in ("manifests/other", "manifests/team", f"{NAME}/below"):
                with pytest.raises(KeyError):
                    await keeper.get_record(name)
            await keeper.delete_record(NAME)
            await keeper.delete_record(NAME)

        self.keep(scenario)

    def test_records_are_listed_by_folder(self) -> None:
        """A listing has everything below the folder and nothing of a folder with a like name."""
        names = ["manifests/a/_sha256/1.1", "manifests/a/b/_sha256/2.1", "manifests/ab/_sha256/3.1"]

        async def scenario(keeper: RecordKeeper) -> None:
            await keeper.put_record("manifests.filled", b"x")
            for name in names:
                await keeper.put_record(name, b"x")

            assert await listed(keeper, "manifests") == names
            assert await listed(keeper, "manifests/a") == names[:2]
            assert await listed(keeper, "nothing") == []
            for name in (*names, "manifests.filled"):
                await keeper.delete_record(name)

        self.keep(scenario)

    def test_records_are_no_blobs(self) -> None:
        """What is kept as a record does not appear among the stored blobs."""

        async def scenario(keeper: RecordKeeper) -> None:
            await keeper.put_record(NAME, b"x")
            assert [blob async for blob in keeper.stored()] == []  # type: ignore[attr-defined]
            await keeper.delete_record(NAME)

        self.keep(scenario)
