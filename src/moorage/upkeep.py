# SPDX-License-Identifier: Apache-2.0
"""What a registry does for itself while it serves: it purges, sweeps and joins.

Every process does it, at times of its own: two at the same work do no harm, and none is special.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.content.joining import DamagedBlob
from moorage.observe.logs import get_logger
from moorage.spec.errors import OCIError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from moorage.content.service import Content
    from moorage.lifecycle.snapshot_keeping import SnapshotKeeping
    from moorage.settings.sections.storage import Maintenance
    from moorage.spec.digests import Digest

_MICROSECONDS = 1_000_000
# What waits here waits for nobody; a short interval only makes an idle registry ask its database.
TIDY_SECONDS = 60.0
# Whoever restarts a registry wants it to answer first.
LONGEST_DELAY_SECONDS = 60.0


class Upkeep:
    """The work behind the serving."""

    def __init__(
        self, content: Content, maintenance: Maintenance, snapshots: SnapshotKeeping | None = None
    ) -> None:
        self._content = content
        self._snapshots = snapshots
        self._purging = maintenance.uploadpurging
        self._tasks: list[asyncio.Task[None]] = []
        # Reading them again each minute would mend nothing, and cost what the store asks for it.
        self._unjoinable: set[Digest] = set()
        self._log = get_logger("moorage")

    def start(self) -> None:
        """Begin; from here on it goes by itself."""
        if self._purging.enabled:
            self._repeat("purging idle uploads", self._purge, self._purging.interval)
        self._repeat("sweeping the store", self._sweep, TIDY_SECONDS)
        # Later, so that replicas that were started together do not all join the same blobs.
        self._repeat("joining blobs", self._join, TIDY_SECONDS, delay=TIDY_SECONDS)
        if self._snapshots is not None:
            interval = self._snapshots.interval
            delay = min(interval, LONGEST_DELAY_SECONDS)
            self._repeat("taking a snapshot", self._take_snapshot, interval, delay=delay)

    async def stop(self) -> None:
        """End what is under way; it goes on where it was after the next start."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _repeat(
        self,
        what: str,
        work: Callable[[], Awaitable[None]],
        interval: float,
        *,
        delay: float = 0.0,
    ) -> None:
        self._tasks.append(asyncio.create_task(self._again_and_again(what, work, interval, delay)))

    async def _again_and_again(
        self, what: str, work: Callable[[], Awaitable[None]], interval: float, delay: float
    ) -> None:
        await asyncio.sleep(delay * random.random())  # noqa: S311 (no secret)
        while True:
            # What failed is tried again before long: an hour without a snapshot may cost its tags.
            pause = min(interval, TIDY_SECONDS)
            try:
                await work()
                pause = interval
            except OCIError as refusal:
                # Of the database or the store, which have said what it is about.
                self._log.error(f"{what} failed: {refusal.message}")
            except Exception as error:  # noqa: BLE001 (the next round may succeed; serving goes on)
                self._log.exception(f"{what} failed", error)
            # Replicas that were started together should not go on together.
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 (no secret)

    async def _purge(self) -> None:
        idle_since = now() - int(self._purging.age * _MICROSECONDS)
        count = await self._content.uploads.purge(idle_since, dry_run=self._purging.dryrun)
        if count:
            self._log.info("purged idle uploads", count=count, dry_run=self._purging.dryrun)

    async def _sweep(self) -> None:
        count = await self._content.garbage.sweep()
        if count:
            self._log.info("swept objects that nothing refers to", count=count)

    async def _join(self) -> None:
        digest = await self._content.joining.next_split("")
        while digest is not None:
            try:
                if digest not in self._unjoinable:
                    await self._content.joining.join(digest)
            except (DamagedBlob, KeyError) as error:
                self._unjoinable.add(digest)
                self._log.exception("a blob cannot be joined", error, digest=digest)
            digest = await self._content.joining.next_split(digest)

    async def _take_snapshot(self) -> None:
        assert self._snapshots is not None  # this is started only where there is somebody
        head = await self._snapshots.run()
        if head is not None:
            size = sum(part.size for part in head.parts)
            self._log.info("took a snapshot", bytes=size, **head.rows)
