# SPDX-License-Identifier: Apache-2.0
"""Verification of passwords: rarely, boundedly, and telling nothing."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from moorage.access.passwords import StoredHash
from moorage.access.verifier import (
    FAILURE_SECONDS,
    MAX_WAITING,
    MAX_WAITING_A_USER,
    SUCCESS_SECONDS,
    PasswordVerifier,
)
from moorage.observe.logs import get_logger
from moorage.spec.errors import TooManyRequests, Unavailable
from tests.access.people import Clock, entry, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class CountingVerifier(PasswordVerifier):
    """Counts what it verifies, and can be held up."""

    computed: tuple[StoredHash, ...] = ()

    def __init__(self, path: Path, clock: Clock) -> None:
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        super().__init__(open_file(path, clock), log=get_logger("test"), threads=1, clock=clock)

    def _compute(self, stored: StoredHash | None, decoy: StoredHash, secret: bytes) -> bool:
        self.may_go_on.wait()
        self.computed += (stored or decoy,)
        return super()._compute(stored, decoy, secret)


class Setting:
    """A verifier, its file and its clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.path.write_text(entry("alice", "secret") + entry("bob", "secret"))
        self.verifier = CountingVerifier(path, self.clock)

    def verify(self, user: str, password: str) -> bool:
        """Ask once."""
        return asyncio.run(self.verifier.verify(user, password))


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    """Two users, alice and bob, whose password is `secret`."""
    setting = Setting(tmp_path / "htpasswd")
    yield setting
    setting.verifier.may_go_on.set()
    setting.verifier.close()


def test_right_and_wrong(setting: Setting) -> None:
    """Only the user's own password is right."""
    assert setting.verify("alice", "secret")
    assert not setting.verify("alice", "Secret")
    assert not setting.verify("carol", "secret")
    assert not setting.verify("", "")


def test_successes_are_remembered_for_a_minute(setting: Setting) -> None:
    """A second verification within a minute computes nothing; after it, it does."""
    assert setting.verify("alice", "secret")
    setting.clock.pass_by(SUCCESS_SECONDS - 1)
    assert setting.verify("alice", "secret")
    assert len(setting.verifier.computed) == 1

    setting.clock.pass_by(1)
    assert setting.verify("alice", "secret")
    assert len(setting.verifier.computed) == 2


def test_failures_are_remembered_for_seconds(setting: Setting) -> None:
    """A client that repeats a wrong password in a loop computes nothing."""
    assert not setting.verify("alice", "wrong")
    assert not setting.verify("alice", "wrong")
    assert len(setting.verifier.computed) == 1

    setting.clock.pass_by(FAILURE_SECONDS)
    assert not setting.verify("alice", "wrong")
    assert len(setting.verifier.computed) == 2


def test_changed_and_removed_entries_are_not_remembered(setting: Setting) -> None:
    """The new file counts at once, whatever was remembered of the old one."""
    assert setting.verify("alice", "secret")
    assert setting.verify("bob", "secret")
    assert not setting.verify("alice", "new")

    setting.path.write_text(entry("alice", "new"))
    setting.clock.pass_by(1)

    assert not setting.verify("alice", "secret")
    assert not setting.verify("bob", "secret")
    assert setting.verify("alice", "new")


def test_missing_users_cost_the_same(setting: Setting) -> None:
    """A hash of the users' scheme and cost is computed for a missing user, always the same one."""
    assert not setting.verify("carol", "one")
    assert not setting.verify("carol", "two")

    first, second = setting.verifier.computed
    assert first == second
    assert first.text.startswith("$2b$04$")


def test_equal_credentials_are_verified_once(setting: Setting) -> None:
    """Fifty requests that arrive together with a new credential compute one hash."""

    async def together() -> list[bool]:
        setting.verifier.may_go_on.clear()
        asks = [asyncio.create_task(setting.verifier.verify("alice", "secret")) for _ in range(50)]
        await asyncio.sleep(0)
        setting.verifier.may_go_on.set()
        return await asyncio.gather(*asks)

    assert asyncio.run(together()) == [True] * 50
    assert len(setting.verifier.computed) == 1


def test_one_who_leaves_takes_nobody_along(setting: Setting) -> None:
    """The verification goes on for the others when the request that began it is cancelled."""

    async def leave() -> bool:
        setting.verifier.may_go_on.clear()
        first = asyncio.create_task(setting.verifier.verify("alice", "secret"))
        second = asyncio.create_task(setting.verifier.verify("alice", "secret"))
        await asyncio.sleep(0)
        first.cancel()
        setting.verifier.may_go_on.set()
        return await second

    assert asyncio.run(leave())


def test_the_queue_is_bounded(setting: Setting) -> None:
    """Beyond the queue the answer is 429 with Retry-After; what is remembered still works."""

    async def flood() -> tuple[TooManyRequests, bool]:
        assert await setting.verifier.verify("alice", "secret")
        setting.verifier.may_go_on.clear()
        guesses = [
            asyncio.create_task(setting.verifier.verify(f"user{n}", "guess"))
            for n in range(MAX_WAITING)
        ]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests) as caught:
            await setting.verifier.verify("bob", "secret")
        known = await setting.verifier.verify("alice", "secret")
        setting.verifier.may_go_on.set()
        assert await asyncio.gather(*guesses) == [False] * MAX_WAITING
        assert await setting.verifier.verify("bob", "secret")
        return caught.value, known

    refusal, known = asyncio.run(flood())

    assert dict(refusal.headers)["Retry-After"] == "2"
    assert known


@pytest.mark.parametrize("user", ["alice", "carol"])
def test_guesses_at_one_user_leave_room_for_others(setting: Setting, user: str) -> None:
    """Only a few passwords of one name wait at a time, whether the user exists or not."""

    async def guess() -> bool:
        setting.verifier.may_go_on.clear()
        guesses = [
            asyncio.create_task(setting.verifier.verify(user, f"guess{n}"))
            for n in range(MAX_WAITING_A_USER)
        ]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            await setting.verifier.verify(user, "another")
        other = asyncio.create_task(setting.verifier.verify("bob", "secret"))
        await asyncio.sleep(0)
        setting.verifier.may_go_on.set()
        await asyncio.gather(*guesses)
        return await other

    assert asyncio.run(guess())


def test_what_cannot_be_computed_is_not_a_wrong_password(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """A hash that the library cannot compute is a 503 and a log line, and is not remembered."""
    broken = StoredHash("$2b$04$broken", "bcrypt")

    async def ask() -> None:
        users = setting.verifier._file.users()
        setting.verifier._file._users = replace(users, hashes={"alice": broken})
        with pytest.raises(Unavailable):
            await setting.verifier.verify("alice", "secret")
        with pytest.raises(Unavailable):
            await setting.verifier.verify("alice", "secret")

    asyncio.run(ask())

    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "secret" not in caplog.text


def test_passwords_are_not_kept(setting: Setting) -> None:
    """What stays in memory is a MAC with a key of this process, not the password."""
    assert setting.verify("alice", "secret")

    kept = repr(vars(setting.verifier._right))
    assert "secret" not in kept
    other = CountingVerifier(setting.path, setting.clock)
    other.close()
    assert other._digest(b"a", b"b") != setting.verifier._digest(b"a", b"b")
    assert setting.verifier._digest(b"a", b"bc") != setting.verifier._digest(b"ab", b"c")
