# SPDX-License-Identifier: Apache-2.0
"""A cache over objects in memory, to be looked into; also as a process of its own.

python -m tests.storage.cache_bench die FOLDER             fetches something and stands still
python -m tests.storage.cache_bench read FOLDER SIZE SEED  reads what others read too
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.spec.digests import Digest
from moorage.storage.cache_folder import CacheFolder
from moorage.storage.disk_cache import DiskCache
from moorage.storage.protocol import PIECE_BYTES
from tests.storage.contract import content, pieces_of
from tests.support.extents import RecordedMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
BOOT = "this-run"
BODY = bytes(number % 253 for number in range(3 * PIECE_BYTES + 7))


class Objects(RecordedMemory):
    """Objects in memory whose reads are counted and can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, int, int | None]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The first piece comes at once, the others when the gate is open."""
        self.reads.append((key, start, stop))
        async for piece in super().read(key, start, stop):
            yield piece
            await self.gate.wait()


class Bench:
    """A cache and what is behind it."""

    def __init__(self, folder: Path, size: int = 1 << 30, boot: str = BOOT) -> None:
        self.objects = Objects()
        self.root = folder / "cache"
        self.folder = CacheFolder(self.root, size, boot)
        self.cache = DiskCache(self.objects, self.folder)

    async def put(self, body: bytes = BODY) -> str:
        """A new object."""
        await self.cache.start()
        return (await self.cache.write(Digest.of(body), pieces_of(body))).key

    async def fetch(self, key: str, size: int = len(BODY)) -> bytes:
        """The whole object, as a download reads it; cached or not it is there afterwards."""
        found = await content(self.cache, key, 0, size)
        await settled()
        return found

    def is_cached(self, key: str) -> bool:
        """Whether the object is a local file."""
        file = self.cache.open(key)
        if file is not None:
            os.close(file)
        return file is not None

    def make_older(self, key: str, seconds: float) -> None:
        """Let the object have been used some time earlier than it was."""
        path = Path(self.folder._path(key))
        status = path.stat()
        os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))

    def files(self) -> list[Path]:
        """Every file that takes room."""
        return [path for path in self.root.rglob("*") if path.is_file() and path.name != "usage"]

    def size(self) -> int:
        """How many bytes they have; one that goes away meanwhile has none."""
        total = 0
        for path in self.files():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


async def settled() -> None:
    """Wait until nothing is being written behind the scenes."""
    mine = asyncio.current_task()
    while tasks := [task for task in asyncio.all_tasks() if task is not mine]:
        await asyncio.wait(tasks)


def other_process(*arguments: object) -> subprocess.Popen[bytes]:
    """This module as a process of its own."""
    command = [sys.executable, "-m", "tests.storage.cache_bench", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


async def stand_still(folder: Path) -> None:
    """Fetch the first piece of something, say so, and never the second."""
    bench = Bench(folder)
    key = await bench.put()
    bench.objects.gate.clear()
    reader = bench.cache.read(key, 0, len(BODY))
    await anext(reader)
    sys.stdout.write("fetching\n")
    sys.stdout.flush()
    await anext(reader)


async def read_what_others_read(folder: Path, size: int, seed: int) -> None:
    """Read some objects again and again, and compare each byte."""
    bench = Bench(folder, size)
    await bench.cache.start()
    for number in range(30):
        place = (number * 7 + seed) % 10
        key, body = f"object{place}", bytes([place]) * (50_000 + place)
        bench.objects.by_key[key] = body
        file = bench.cache.open(key)
        if file is None:
            assert await bench.fetch(key, len(body)) == body
        else:
            assert os.pread(file, len(body), 0) == body
            os.close(file)


if __name__ == "__main__":
    if sys.argv[1] == "die":
        asyncio.run(stand_still(Path(sys.argv[2])))
    else:
        asyncio.run(read_what_others_read(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
