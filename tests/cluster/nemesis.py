# SPDX-License-Identifier: Apache-2.0
"""What goes wrong while clients work, chosen at random: one thing after another, some at once.

Connections are cut by the balancer all the time. Beside that, replicas are killed, stopped in their
tracks or told to end; the database and the store fail where the ground has servers. Everything is
whole again when `run` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tests.support.balancer import Cut

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tests.support.cluster import Cluster, Replica
    from tests.support.object_proxy import ObjectProxy
    from tests.support.postgres import PostgresServer

    Harm = Callable[[], Coroutine[None, None, None]]

CUT_SHARE = 0.03
START_TRIES = 100


@dataclass
class Nemesis:
    """Does harm to one cluster."""

    cluster: Cluster
    seed: str
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = Random(f"{self.seed}/nemesis")
        self._cuts = Random(f"{self.seed}/cuts")
        self.cluster.balancer.cut = self._cut
        self._whole = list(self.cluster.replicas)
        self._lanes: list[list[Harm]] = [
            [self._kill, self._kill, self._kill_two, self._freeze, self._terminate]
        ]
        ground = self.cluster.ground
        if ground.database is not None and ground.store is not None:
            self._lanes.append(
                [
                    self._crash_database,
                    self._kill_database,
                    self._refuse,
                    self._cut_store,
                    self._hang_store,
                ]
            )

    @property
    def complete(self) -> bool:
        """Whether everything that can go wrong has gone wrong."""
        return all(_name(harm) in self.done for lane in self._lanes for harm in lane)

    async def run(self, over: asyncio.Event) -> None:
        """Do harm until it is over: to replicas, and beside that to what they stand on."""
        try:
            async with asyncio.TaskGroup() as group:
                for lane in self._lanes:
                    group.create_task(self._harm(lane, over))
        finally:
            self.cluster.balancer.cut = lambda: None

    async def _harm(self, lane: Sequence[Harm], over: asyncio.Event) -> None:
        """Everything once, in any order, and then again in another."""
        turns: list[Harm] = []
        while not over.is_set():
            turns = turns or self._random.sample(lane, len(lane))
            await self._pause(0.1, 0.8)
            harm = turns.pop()
            await harm()
            self.done[_name(harm)] += 1

    def _cut(self) -> Cut | None:
        """Now and then: somewhere in the head, in the body, or before the answer is passed on."""
        if self._cuts.random() > CUT_SHARE:
            return None
        after = self._cuts.choice((0, self._cuts.randrange(300), self._cuts.randrange(100_000)))
        return Cut(self._cuts.choice(("request", "response")), after)

    async def _pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self._random.uniform(least, most))

    # -- replicas ------------------------------------------------------------------------------

    async def _kill(self) -> None:
        replica = self._random.choice(self._whole)
        await asyncio.to_thread(replica.kill)
        await self._pause(0, 0.5)
        await start(replica)

    async def _kill_two(self) -> None:
        pair = self._random.sample(self._whole, 2)
        await asyncio.gather(*(asyncio.to_thread(replica.kill) for replica in pair))
        await self._pause(0, 0.3)
        await asyncio.gather(*(start(replica) for replica in pair))

    async def _terminate(self) -> None:
        replica = self._random.choice(self._whole)
        await asyncio.to_thread(replica.stop)
        await start(replica)

    async def _freeze(self) -> None:
        """One that stands still and goes on must not believe what it knew before."""
        replica = self._random.choice(self._whole)
        assert replica.process is not None
        os.killpg(replica.process.pid, signal.SIGSTOP)
        try:
            await self._pause(0.2, 1.5)
        finally:
            os.killpg(replica.process.pid, signal.SIGCONT)

    # -- the database --------------------------------------------------------------------------

    @property
    def _database(self) -> PostgresServer:
        assert self.cluster.ground.database is not None
        return self.cluster.ground.database

    async def _crash_database(self) -> None:
        """An immediate shutdown: nothing is flushed, connections are dropped."""
        await asyncio.to_thread(self._database.crash)
        await self._pause(0, 0.5)
        await asyncio.to_thread(self._database.start)

    async def _kill_database(self) -> None:
        """The first process of the server dies alone; the others notice it by and by."""
        process = self._database.process
        assert process is not None
        process.kill()
        await asyncio.to_thread(process.wait)
        for _ in range(START_TRIES):
            # Refused as long as one of the orphans is still there.
            with contextlib.suppress(AssertionError, subprocess.SubprocessError):
                await asyncio.to_thread(self._database.start)
                return
            await asyncio.sleep(0.1)
        await asyncio.to_thread(self._database.start)

    # -- the store -----------------------------------------------------------------------------

    @property
    def _store(self) -> ObjectProxy:
        assert self.cluster.ground.store is not None
        return self.cluster.ground.store

    async def _refuse(self) -> None:
        with self._store.refuse(503):
            await self._pause(0.2, 2.0)

    async def _cut_store(self) -> None:
        after = self._random.choice((0, 1_000, 20_000))
        with self._store.cut_requests(after), self._store.cut_responses(after):
            await self._pause(0.2, 1.5)

    async def _hang_store(self) -> None:
        with self._store.hang():
            await self._pause(0.5, 3.0)


def _name(harm: Harm) -> str:
    return harm.__name__.strip("_")


async def start(replica: Replica) -> None:
    """Start a replica, again if the database is down just now: a service manager would."""
    for _ in range(START_TRIES):
        with contextlib.suppress(RuntimeError):
            await asyncio.to_thread(replica.start)
            return
        await asyncio.sleep(0.2)
    await asyncio.to_thread(replica.start)
