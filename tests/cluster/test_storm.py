# SPDX-License-Identifier: Apache-2.0
"""Sixteen clients, three replicas, and everything that can break does: the promises hold.

What the clients saw is recorded and judged: every tag behaves like one register in one place,
whatever replica was asked; nothing acknowledged is lost; nothing is seen half.
`--cluster-seconds N` makes it longer, `--seed S` repeats a run's choices; the scheduler makes its
own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.cluster.client import Client
from tests.cluster.history import History
from tests.cluster.linearizability import read
from tests.cluster.nemesis import Nemesis
from tests.support.cluster import Cluster
from tests.support.commands import Commands
from tests.support.grounds import GROUNDS, SERVERS, ground
from tests.support.images import OCI_MANIFEST, blob_path, digest_of, manifest_path
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.linearizability import Times

CLIENTS = 16
REPOSITORIES = ("storm/one", "storm/two")
# So many manifests are pushed at least, however slow the machine is.
LEAST = 50
# A client gives up after twelve seconds; what it began then still has the drain time.
END_SECONDS = 180.0


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> str:
    """What all random choices come from, printed with a failure."""
    given = pytestconfig.getoption("--seed")
    chosen = f"{Random().randrange(10**9)}" if given is None else str(given)
    sys.stdout.write(f"repeat with --seed {chosen}\n")
    return chosen


@pytest.mark.parametrize("name", GROUNDS)
def test_promises_hold_while_everything_breaks(
    pytestconfig: pytest.Config, tmp_path: Path, seed: str, name: str
) -> None:
    """Tags are linearizable, nothing acknowledged is lost, nothing is half visible."""
    seconds = float(pytestconfig.getoption("--cluster-seconds"))
    # A killed PostgreSQL may forget the progress of uploads, a killed Moorage may not.
    setbacks = frozenset({400, 404, 416}) if name == SERVERS else frozenset()
    history = History(REPOSITORIES, setbacks)
    with ground(name, tmp_path / "ground") as shared, Cluster(tmp_path, shared) as cluster:
        nemesis = Nemesis(cluster, seed)
        asyncio.run(storm(cluster, nemesis, history, seed, seconds))
        audit(cluster, history)
        report(nemesis, history, cluster)

        wrong = [*history.violations, *history.not_linearizable(), *faults(cluster)]
        assert not wrong, f"{len(wrong)} violations:\n" + "\n\n".join(wrong[:5])
        found = Commands.of(cluster.replicas[0]).run("check", "--json").json()
        assert [one for one in found["findings"] if one["problem"]] == []


async def storm(
    cluster: Cluster, nemesis: Nemesis, history: History, seed: str, seconds: float
) -> None:
    """Let clients and nemesis loose for a while."""
    harm_over, work_over = asyncio.Event(), asyncio.Event()
    clients = [Client(number, seed, cluster.port, history) for number in range(CLIENTS)]
    async with asyncio.timeout(seconds + END_SECONDS), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(work_over))
        harm = group.create_task(nemesis.run(harm_over))
        await asyncio.sleep(seconds)
        # A storm in which something has not broken, or hardly anything succeeded, tells nothing.
        while not nemesis.complete or len(history.manifests) < LEAST:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.2)
        harm_over.set()
        await harm
        # Whole again: what is recorded now must fit what was left behind.
        await asyncio.sleep(1)
        work_over.set()


def audit(cluster: Cluster, history: History) -> None:
    """Ask every replica for every tag and for everything that was acknowledged."""
    for number, url in enumerate(cluster.urls):
        with Wire(url) as wire:
            for tag, steps in history.steps.items():
                invoked = time.monotonic()
                head = wire.head(manifest_path(*tag), ("Accept", OCI_MANIFEST))
                assert head.status in {200, 404}, head
                value = head.headers.get("Docker-Content-Digest") if head.status == 200 else None
                times: Times = {"invoked": invoked, "returned": time.monotonic()}
                steps.append(read(value, f"audit of replica {number}", **times))
            for (repository, digest), pushed in history.manifests.items():
                answer = wire.get(manifest_path(repository, digest), ("Accept", OCI_MANIFEST))
                if (answer.status, answer.body) != (200, pushed.content.payload):
                    history.wrong(f"replica {number} has lost {repository} {digest}: {answer}")
            for repository, digest in history.blobs:
                answer = wire.get(blob_path(repository, digest))
                if digest_of(answer.body, digest.partition(":")[0]) != digest:
                    history.wrong(f"replica {number} has lost {repository} {digest}: {answer}")


def faults(cluster: Cluster) -> Iterator[str]:
    """What the replicas themselves call their own fault; a database that is away is none."""
    for line in cluster.logs.splitlines():
        if "fault of ours" in line or line.startswith("Traceback"):
            yield line.replace("\\n", "\n")


def report(nemesis: Nemesis, history: History, cluster: Cluster) -> None:
    """What happened, for whoever reads the output of a failure or of a long run."""
    outcomes = {f"{deed} {how}": count for (deed, how), count in sorted(history.outcomes.items())}
    lines = {
        "harm": dict(nemesis.done),
        "cut connections": cluster.balancer.cuts,
        "outcomes": outcomes,
        "acknowledged": {"blobs": len(history.blobs), "manifests": len(history.manifests)},
        "tags": len(history.steps),
        "steps": sum(map(len, history.steps.values())),
    }
    sys.stdout.write(json.dumps(lines, indent=1) + "\n")
