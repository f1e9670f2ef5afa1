# SPDX-License-Identifier: Apache-2.0
"""The cache in front of an object store, over objects in memory and files on a real disk."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

import pytest

from moorage.storage.cache_folder import CacheFolder, content_size
from moorage.storage.disk_cache import DiskCache
from moorage.storage.protocol import (
    PIECE_BYTES,
    ExtentStore,
    LocalFiles,
    RecordKeeper,
    SigningStore,
)
from tests.durability.disks import small_disk
from tests.storage.cache_bench import BODY, Bench, other_process, settled
from tests.storage.contract import content
from tests.support.extents import RecordedMemory

if TYPE_CHECKING:
    from pathlib import Path


def test_a_whole_read_makes_a_local_file(tmp_path: Path) -> None:
    """The first download fills the cache with one request to the store; the next asks nobody."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        key = await bench.put()
        assert bench.cache.open(key) is None

        assert await bench.fetch(key) == BODY
        assert bench.objects.reads == [(key, 0, len(BODY) + 1)]
        file = bench.cache.open(key)
        assert file is not None
        assert content_size(file) == len(BODY)
        assert os.pread(file, len(BODY), 0) == BODY
        os.close(file)
        assert await content(bench.cache, key, 5, 50) == BODY[5:50]
        assert await content(bench.cache, key) == BODY
        assert len(bench.objects.reads) == 1

    asyncio.run(scenario())


def test_a_range_passes_through(tmp_path: Path) -> None:
    """A part of an object is read from the store and leaves nothing in the cache."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        key = await bench.put()
        for start, stop in ((0, 1000), (1000, 2000), (PIECE_BYTES, len(BODY))):
            assert await content(bench.cache, key, start, stop) == BODY[start:stop]
        await settled()

        assert not bench.is_cached(key)
        assert bench.files() == []

    asyncio.run(scenario())


def test_concurrent_misses_fill_once(tmp_path: Path) -> None:
    """Many downloads of one object that begin at the same time are one request to the store."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        key = await bench.put()
        bodies = await asyncio.gather(*[content(bench.cache, key, 0, len(BODY)) for _ in range(20)])

        assert bodies == [BODY] * 20
        assert len(bench.objects.reads) == 1

    asyncio.run(scenario())


def test_a_slow_client_holds_up_nobody(tmp_path: Path) -> None:
    """While one reader stands still after its first piece, another gets everything."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        key = await bench.put()
        slow = bench.cache.read(key, 0, len(BODY))
        first = await anext(slow)

        assert await content(bench.cache, key, 0, len(BODY)) == BODY
        assert first + b"".join([piece async for piece in slow]) == BODY
        assert len(bench.objects.reads) == 1

    asyncio.run(scenario())


def test_a_reader_who_leaves_ends_the_fill(tmp_path: Path) -> None:
    """When the only client goes away in the middle, nothing more is fetched and nothing stays."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        key = await bench.put()
        bench.objects.gate.clear()
        reader = bench.cache.read(key, 0, len(BODY))
        await anext(reader)
        await reader.aclose()  # type: ignore[attr-defined] # it is a generator
        bench.objects.gate.set()
        await settled()

        assert not bench.is_cached(key)
        assert bench.files() == []
        assert await bench.fetch(key) == BODY
        assert bench.is_cached(key)

    asyncio.run(scenario())


def test_an_unknown_key_is_a_key_error(tmp_path: Path) -> None:
    """What the store has not, the cache has not either."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        await bench.cache.start()
        with pytest.raises(KeyError):
            await bench.fetch("nothing")
        await settled()
        assert bench.files() == []

    asyncio.run(scenario())


def test_deleting_drops_the_copy(tmp_path: Path) -> None:
    """A deleted object is gone from the cache and from the store, also while it is fetched."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        key, other = await bench.put(), await bench.put()
        await bench.fetch(key)
        await bench.cache.delete(key)
        assert not bench.is_cached(key)
        assert key not in bench.objects.by_key

        reader = bench.cache.read(other, 0, len(BODY))
        await anext(reader)
        await bench.cache.delete(other)
        assert [piece async for piece in reader]
        await settled()
        assert bench.files() == []

    asyncio.run(scenario())


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    """When there is no room, the object goes that was not read for longest."""

    async def scenario() -> None:
        bench = Bench(tmp_path, size=4 * len(BODY))
        keys = [await bench.put() for _ in range(4)]
        for age, key in enumerate(keys[:3]):
            await bench.fetch(key)
            bench.make_older(key, 10_000 - age)
        assert bench.is_cached(keys[0])  # which is a use

        await bench.fetch(keys[3])

        assert [bench.is_cached(key) for key in keys] == [True, False, True, True]

    asyncio.run(scenario())


def test_reading_writes_a_time_now_and_then(tmp_path: Path) -> None:
    """The time of use is written down only when the one that is there is minutes old."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        key = await bench.put()
        await bench.fetch(key)
        (path,) = bench.files()
        bench.make_older(key, 200)
        before = path.stat().st_mtime_ns
        assert bench.is_cached(key)
        assert path.stat().st_mtime_ns == before

        bench.make_older(key, 400)
        assert bench.is_cached(key)
        assert path.stat().st_mtime_ns > before

    asyncio.run(scenario())


def test_it_never_holds_more_than_it_may(tmp_path: Path) -> None:
    """However much is read at a time, files that grow included stay within the bound."""
    limit = 3 * len(BODY)

    async def scenario() -> None:
        bench = Bench(tmp_path, size=limit)
        keys = [await bench.put() for _ in range(12)]
        high = 0

        async def download(key: str) -> None:
            nonlocal high
            async for _ in bench.cache.read(key, 0, len(BODY)):
                high = max(high, bench.size())

        for _ in range(3):
            await asyncio.gather(*[download(key) for key in keys])
        await settled()

        assert 0 < high <= limit
        assert bench.files()

    asyncio.run(scenario())


def test_what_is_larger_than_the_cache_passes_through(tmp_path: Path) -> None:
    """An object that could never fit is read from the store each time and evicts nothing."""

    async def scenario() -> None:
        bench = Bench(tmp_path, size=len(BODY))
        small, large = await bench.put(b"small"), await bench.put()
        await bench.fetch(small, 5)

        assert await bench.fetch(large) == BODY
        assert bench.is_cached(small)
        assert not bench.is_cached(large)

    asyncio.run(scenario())


def test_an_open_file_outlives_its_eviction(tmp_path: Path) -> None:
    """Whoever has begun to read from the cache reads to the end, although the file is gone."""

    async def scenario() -> None:
        bench = Bench(tmp_path, size=len(BODY) + 100)
        first, second = await bench.put(), await bench.put()
        await bench.fetch(first)
        reader = bench.cache.read(first, 0, len(BODY))
        begun = await anext(reader)
        file = bench.cache.open(first)
        assert file is not None
        await bench.fetch(second)

        assert not bench.is_cached(first)
        assert begun + b"".join([piece async for piece in reader]) == BODY
        assert os.pread(file, len(BODY), 0) == BODY
        os.close(file)

    asyncio.run(scenario())


@pytest.mark.parametrize("change", ["shorter", "longer", "empty"])
def test_a_file_of_another_length_is_not_served(tmp_path: Path, change: str) -> None:
    """A file that is not as long as it says is thrown away and fetched again."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        key = await bench.put()
        await bench.fetch(key)
        (path,) = bench.files()
        size = path.stat().st_size
        os.truncate(path, {"shorter": size - 1, "longer": size + 1, "empty": 0}[change])

        assert not bench.is_cached(key)
        assert not path.exists()
        assert await bench.fetch(key) == BODY
        assert bench.is_cached(key)

    asyncio.run(scenario())


def test_a_reboot_empties_it(tmp_path: Path) -> None:
    """Files that a power cut may have spoiled are gone when the machine runs again."""

    async def scenario() -> None:
        before = Bench(tmp_path)
        await before.fetch(await before.put())
        after = Bench(tmp_path, boot="another-run")
        await after.cache.start()

        assert after.files() == []

    asyncio.run(scenario())


def test_without_a_boot_id_nothing_is_kept(tmp_path: Path) -> None:
    """Where a reboot cannot be noticed, everything passes through."""

    async def scenario() -> None:
        bench = Bench(tmp_path, boot="")
        assert await bench.fetch(await bench.put()) == BODY
        assert bench.files() == []

    asyncio.run(scenario())


def test_abilities(tmp_path: Path) -> None:
    """It uploads like the store behind it, has local files, and sends nobody to the store."""
    cache = DiskCache(RecordedMemory(), CacheFolder(tmp_path, 1, ""))

    assert isinstance(cache, ExtentStore)
    assert isinstance(cache, RecordKeeper)
    assert isinstance(cache, LocalFiles)
    assert not isinstance(cache, SigningStore)


def test_a_full_disk_is_nobodys_error(tmp_path: Path) -> None:
    """With no room at all downloads come from the store; when there is room again they are kept."""

    async def scenario() -> None:
        bench = Bench(tmp_path, size=1 << 30)
        key = await bench.put()
        disk.fill()
        assert await bench.fetch(key) == BODY
        assert not bench.is_cached(key)
        disk.relieve()
        assert await bench.fetch(key) == BODY
        assert bench.is_cached(key)

    with small_disk(tmp_path / "cache", 4) as disk:
        asyncio.run(scenario())


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where room cannot be taken before, a disk that fills up in the middle is no error either."""

    async def scenario() -> None:
        bench = Bench(tmp_path, size=1 << 30)
        body = os.urandom(6 << 20)
        key = await bench.put(body)
        assert await bench.fetch(key, len(body)) == body
        assert bench.files() == []

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no such operation here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with small_disk(tmp_path / "cache", 4):
        asyncio.run(scenario())


def test_a_killed_process_leaves_nothing_that_is_served(tmp_path: Path) -> None:
    """What a killed process was fetching is seen by nobody, and swept when room is needed."""
    process = other_process("die", tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == b"fetching\n"
    process.kill()
    process.communicate(timeout=30)

    async def scenario() -> None:
        bench = Bench(tmp_path, size=len(BODY) + 100)
        assert len(bench.files()) == 1
        key = await bench.put()
        assert await bench.fetch(key) == BODY
        assert bench.is_cached(key)
        assert len(bench.files()) == 1

    asyncio.run(scenario())


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """Several processes read, fill and evict at once; every byte is right and the bound holds."""
    size = 200_000
    processes = [other_process("read", tmp_path, size, seed) for seed in range(3)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0

    bench = Bench(tmp_path)
    assert 0 < bench.size() <= size
