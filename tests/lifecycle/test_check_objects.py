# SPDX-License-Identifier: Apache-2.0
"""The check over a store of objects: all is read through the store, in however many pieces."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from moorage.content.changes import Actor
from moorage.content.rules import ManifestRules
from moorage.content.service import build_content
from moorage.content.uploads import Chunk
from moorage.db.sqlite import SQLiteDatabase
from moorage.events.log import EventLog
from moorage.lifecycle.check import Check, CheckOptions
from moorage.lifecycle.repair import Repair
from moorage.observe.progress import SilentProgress
from moorage.spec.digests import Digest
from moorage.spec.names import RepositoryName
from tests.support.extents import ExtentMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from moorage.content.service import Content
    from moorage.lifecycle.findings import CheckReport

REPOSITORY = RepositoryName("a")
SOMEBODY = Actor("somebody")
SMALL = b"one object"
PARTS = (b"first of two, ", b"second of two")
WHOLE = b"".join(PARTS)


async def body(*parts: bytes) -> AsyncIterator[bytes]:
    """A request's body."""
    for part in parts:
        yield part


class Registry:
    """Two blobs, one of them in two pieces, and the check of it all."""

    def __init__(self, folder: Path) -> None:
        self.store = ExtentMemory()
        self.database = SQLiteDatabase(folder / "moorage.db")
        self.content: Content = build_content(
            self.database, self.store, EventLog(), boot="", rules=ManifestRules()
        )

    async def fill(self) -> None:
        """Push the blobs."""
        uploads = self.content.uploads
        await uploads.push(REPOSITORY, Digest.of(SMALL), Chunk(body(SMALL)), SOMEBODY)
        session = (await uploads.start(REPOSITORY, SOMEBODY, "sha256")).session
        for part in PARTS:
            await uploads.append(REPOSITORY, session, Chunk(body(part)))
        await uploads.finish(REPOSITORY, session, Digest.of(WHOLE), Chunk(body()), SOMEBODY)

    async def check(self, *, quick: bool = False, repair: bool = False) -> CheckReport:
        """Check it without the hour of grace."""
        options = CheckOptions(required=frozenset({"config", "layer"}), quick=quick, orphan_grace=0)
        mend = Repair(self.database, self.store, EventLog(), SOMEBODY) if repair else None
        check = Check(self.database, self.store, options, SilentProgress(), lambda _: None, mend)
        return await check.run()

    def key_of(self, content: bytes) -> str:
        """Where these bytes are."""
        return next(key for key, found in self.store.by_key.items() if found == content)


def with_registry(folder: Path, scenario: Callable[[Registry], Awaitable[None]]) -> None:
    """Run a scenario on a filled registry."""

    @asynccontextmanager
    async def started() -> AsyncIterator[Registry]:
        registry = Registry(folder)
        await registry.database.start()
        try:
            await registry.fill()
            yield registry
        finally:
            await registry.database.close()

    async def run() -> None:
        async with started() as registry:
            await scenario(registry)

    asyncio.run(run())


def test_whole_objects_are_all_right(tmp_path: Path) -> None:
    """Nothing is found, and every byte was read."""

    async def scenario(registry: Registry) -> None:
        report = await registry.check()
        assert report.findings == []
        assert (report.blobs, report.bytes) == (2, len(SMALL) + len(WHOLE))
        assert (await registry.check(quick=True)).findings == []

    with_registry(tmp_path, scenario)


def test_a_damaged_piece_is_found(tmp_path: Path) -> None:
    """One wrong byte in one piece; repaired, the blob is forgotten and its objects stay."""

    async def scenario(registry: Registry) -> None:
        registry.store.by_key[registry.key_of(PARTS[1])] = b"second of TWO"
        assert (await registry.check(quick=True)).findings == []
        finding, *strays = (await registry.check(repair=True)).findings
        assert finding.kind == "blob-damaged"
        assert finding.digest == Digest.of(WHOLE)
        assert "was left where it is" in finding.repair
        assert [stray.kind for stray in strays] == ["blob-orphan"] * 2
        assert (await registry.check()).findings == strays

    with_registry(tmp_path, scenario)


def test_a_lost_or_short_object_is_found(tmp_path: Path) -> None:
    """Also by a quick check."""

    async def scenario(registry: Registry) -> None:
        small = registry.key_of(SMALL)
        registry.store.by_key[small] = SMALL[:-1]
        del registry.store.by_key[registry.key_of(PARTS[0])]
        found = {finding.kind for finding in (await registry.check(quick=True)).findings}
        assert found == {"blob-size", "blob-lost"}

    with_registry(tmp_path, scenario)


def test_a_stray_object_is_a_note(tmp_path: Path) -> None:
    """What belongs to nothing is named; what belongs to an upload or is on its way out is not."""

    async def scenario(registry: Registry) -> None:
        uploads = registry.content.uploads
        session = (await uploads.start(REPOSITORY, SOMEBODY, "sha256")).session
        await uploads.append(REPOSITORY, session, Chunk(body(b"unfinished")))
        await uploads.push(REPOSITORY, Digest.of(SMALL), Chunk(body(SMALL)), SOMEBODY)
        registry.store.by_key["stray"] = b"nobody's"

        (finding,) = (await registry.check()).findings

        assert (finding.kind, finding.file, finding.size) == ("blob-orphan", "stray", 8)
        assert not finding.is_problem

    with_registry(tmp_path, scenario)
