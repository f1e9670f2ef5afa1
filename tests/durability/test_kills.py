# SPDX-License-Identifier: Apache-2.0
"""A registry that is killed again and again under pushing clients loses nothing that it promised.

The whole process tree dies by SIGKILL at random moments, one process or several workers, and starts
again on the same data; then, before the clients go on, what is there is compared with what was
acknowledged. `--kills N` kills more often, `--seed S` repeats a run's choices; the scheduler makes
its own.
"""

from __future__ import annotations

import sys
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.durability.audit import Audit
from tests.durability.autopsy import Autopsy
from tests.durability.clients import Client
from tests.durability.gate import Gate
from tests.durability.ledger import Ledger
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = 4
# Beside what has changed since the last kill, so many older things are looked at again.
SAMPLE = 40
QUIET = {"log": {"accesslog": {"disabled": True}}}


class Ordeal:
    """One registry, its clients, and what they know."""

    def __init__(self, folder: Path, seed: str) -> None:
        self._random = Random(seed)
        self._registry = RunningRegistry(folder, QUIET)
        self._url = f"http://{self._registry.host}"
        self._ledger = Ledger()
        self._gate = Gate(CLIENTS)
        self._clients = [
            Client(number, seed, self._url, self._ledger, self._gate) for number in range(CLIENTS)
        ]
        self._autopsy = Autopsy(self._registry.root)

    def run(self, kills: int) -> None:
        """Let the clients push, kill, restart, compare; so many times."""
        for client in self._clients:
            client.thread.start()
        try:
            for _ in range(kills):
                self._start()
                self._compare()
                self._gate.open()
                time.sleep(self._moment())
                self._registry.kill()
                self._gate.close()
                self._raise_failures()
            self._start()
            self._compare(everything=True)
            assert self._registry.stop() == 0
        finally:
            self._end()
        assert "Traceback" not in self._registry.log
        assert self._ledger.acknowledged > kills, "the clients hardly got anything done"
        done, cut = self._ledger.acknowledged, self._ledger.unanswered
        sys.stdout.write(f"{done} changes acknowledged, {cut} cut off\n")

    def _start(self) -> None:
        several = self._random.random() < 0.4
        self._registry.arguments = ("--workers", "2") if several else ()
        self._registry.start()

    def _moment(self) -> float:
        """How long the clients are let alone: mostly a while, often next to nothing."""
        return self._random.choice((self._random.uniform(0, 0.05), self._random.uniform(0, 0.8)))

    def _compare(self, *, everything: bool = False) -> None:
        with Wire(self._url) as wire:
            audit = Audit(wire, self._ledger)
            if everything:
                audit.everything()
            else:
                known = sorted(self._ledger.possible)
                sample = self._random.sample(known, min(SAMPLE, len(known)))
                audit.these(self._ledger.take_changed() | set(sample))
        self._autopsy.examine()

    def _raise_failures(self) -> None:
        for client in self._clients:
            if client.failure is not None:
                raise AssertionError(
                    f"{client.thread.name} found the registry wrong"
                ) from client.failure

    def _end(self) -> None:
        self._gate.end()
        for client in self._clients:
            client.thread.join(60)
        process = self._registry.process
        if process is not None and process.poll() is None:
            self._registry.kill()


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> str:
    """What all random choices come from, printed with a failure."""
    given = pytestconfig.getoption("--seed")
    chosen = f"{Random().randrange(10**9)}" if given is None else str(given)
    sys.stdout.write(f"repeat with --seed {chosen}\n")
    return chosen


def test_what_was_acknowledged_survives_every_kill(tmp_path: Path, kills: int, seed: str) -> None:
    """After any number of kills everything acknowledged is there and nothing is half there."""
    Ordeal(tmp_path, seed).run(kills)
