# SPDX-License-Identifier: Apache-2.0
"""The folder of the cache: what it throws away, what it leaves alone, whom it refuses."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from moorage.spec.errors import Unavailable
from moorage.storage.cache_folder import CacheFolder
from moorage.storage.disk_cache import DiskCache
from tests.storage.cache_bench import BODY, settled
from tests.storage.contract import content
from tests.support.extents import RecordedMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def test_only_caches_of_earlier_runs_are_removed(tmp_path: Path) -> None:
    """A folder that is named like one of ours and holds anything else is left alone."""
    CacheFolder(tmp_path, 1000, "earlier").start()
    (tmp_path / "run-of-the-mill" / "flour").mkdir(parents=True)

    CacheFolder(tmp_path, 1000, "now").start()

    assert {path.name for path in tmp_path.iterdir()} == {"run-now", "run-of-the-mill"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Who could write the copies could have anything served under any digest."""
    (tmp_path / "run-now").mkdir()
    os.chown(tmp_path / "run-now", 12345, 12345)
    with pytest.raises(Unavailable, match="run-now in it belongs to another user"):
        CacheFolder(tmp_path, 1000, "now").start()


def test_an_unforeseen_fault_of_the_store_leaves_no_file(tmp_path: Path) -> None:
    """Whatever ends the fetching, what was fetched is removed and its room given back."""

    class Odd(RecordedMemory):
        async def read(
            self, key: str, start: int = 0, stop: int | None = None
        ) -> AsyncIterator[bytes]:
            yield BODY[start : start + 3]
            raise EOFError(key)

    async def scenario() -> None:
        cache = DiskCache(Odd(), CacheFolder(tmp_path, 10 * len(BODY), "now"))
        await cache.start()
        with pytest.raises(EOFError):
            await content(cache, "key", 0, len(BODY))
        await settled()
        assert list((tmp_path / "run-now" / "fills").iterdir()) == []

    asyncio.run(scenario())
