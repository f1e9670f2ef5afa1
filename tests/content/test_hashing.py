# SPDX-License-Identifier: Apache-2.0
"""Running hashes: remembered where possible, read again where not, and never wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from moorage.content.hashing import REMEMBERED_SESSIONS, RunningHashes
from moorage.spec.digests import Digest, new_hasher
from moorage.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from moorage.spec.digests import Hasher

CONTENT = b"the bytes of an upload"


class CountingStore(MemoryStore):
    """Knows how many bytes were read again."""

    def __init__(self) -> None:
        super().__init__()
        self.read_again = 0

    async def hash_upload(self, session: str, hasher: Hasher, start: int, stop: int) -> None:
        """Count and read."""
        self.read_again += stop - start
        await super().hash_upload(session, hasher, start, stop)


def with_store(scenario: Callable[[CountingStore, RunningHashes], Awaitable[None]]) -> None:
    """Run a scenario on an upload that has the whole content."""

    async def run() -> None:
        store = CountingStore()
        with store.append("session") as file:
            file.write(CONTENT)
        await scenario(store, RunningHashes(store.hash_upload))

    asyncio.run(run())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_nothing_remembered(algorithm: str) -> None:
    """A session that this process has never seen is read from the beginning."""

    async def scenario(store: CountingStore, hashes: RunningHashes) -> None:
        hasher = await hashes.resume("session", algorithm, 9)
        expected = Digest.of(CONTENT[:9], algorithm)
        assert f"{algorithm}:{hasher.hexdigest()}" == expected
        assert store.read_again == 9

    with_store(scenario)


def test_only_what_was_missed_is_read() -> None:
    """Another process has taken chunks in between: only those are read."""

    async def scenario(store: CountingStore, hashes: RunningHashes) -> None:
        hasher = new_hasher("sha256")
        hasher.update(CONTENT[:5])
        hashes.remember("session", "sha256", 5, hasher)

        resumed = await hashes.resume("session", "sha256", 12)
        assert f"sha256:{resumed.hexdigest()}" == Digest.of(CONTENT[:12])
        assert store.read_again == 7

    with_store(scenario)


@pytest.mark.parametrize(("algorithm", "received"), [("sha512", 5), ("sha256", 3)])
def test_a_state_that_does_not_fit_is_not_used(algorithm: str, received: int) -> None:
    """Of another algorithm, or of more bytes than count: it is read from the beginning."""

    async def scenario(store: CountingStore, hashes: RunningHashes) -> None:
        hasher = new_hasher("sha256")
        hasher.update(CONTENT[:5])
        hashes.remember("session", "sha256", 5, hasher)

        resumed = await hashes.resume("session", algorithm, received)
        expected = Digest.of(CONTENT[:received], algorithm)
        assert f"{algorithm}:{resumed.hexdigest()}" == expected
        assert store.read_again == received

    with_store(scenario)


def test_a_state_is_given_out_once() -> None:
    """Whoever has it changes it: until it is remembered anew nobody else gets it."""

    async def scenario(store: CountingStore, hashes: RunningHashes) -> None:
        hashes.remember("session", "sha256", 0, new_hasher("sha256"))
        (await hashes.resume("session", "sha256", 0)).update(b"spoiled")

        clean = await hashes.resume("session", "sha256", 4)
        assert f"sha256:{clean.hexdigest()}" == Digest.of(CONTENT[:4])
        assert store.read_again == 4

    with_store(scenario)


def test_the_longest_unused_is_forgotten() -> None:
    """Memory is bounded; a forgotten session only costs a reading."""

    async def scenario(store: CountingStore, hashes: RunningHashes) -> None:
        hasher = new_hasher("sha256")
        hasher.update(CONTENT)
        hashes.remember("session", "sha256", len(CONTENT), hasher)
        for number in range(REMEMBERED_SESSIONS):
            hashes.remember(f"{number}", "sha256", 0, new_hasher("sha256"))

        resumed = await hashes.resume("session", "sha256", len(CONTENT))
        assert f"sha256:{resumed.hexdigest()}" == Digest.of(CONTENT)
        assert store.read_again == len(CONTENT)

    with_store(scenario)
