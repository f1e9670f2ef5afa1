# SPDX-License-Identifier: Apache-2.0
"""Verification of passwords beside the event loop: rarely, boundedly, and telling nothing.

Knows users and hashes, but no headers and no rights. Invariants: the loop never computes a
password hash; guessing costs the guesser a refusal, not everybody else the processor; and neither
answer nor duration tells a missing user from a wrong password.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from argon2.exceptions import VerificationError

from moorage.access.remembered import Remembered
from moorage.spec.errors import TooManyRequests, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.access.htpasswd import HtpasswdFile
    from moorage.access.passwords import StoredHash
    from moorage.observe.logs import Logger

# A push is hundreds of requests within minutes; it pays once a minute.
SUCCESS_SECONDS = 60.0

# Long enough that a client which repeats a wrong password in a loop costs nothing, short enough
# that nobody waits for a password that was just set.
FAILURE_SECONDS = 3.0

# Some 200 bytes each. Failures have room of their own, so that guessing pushes out no success.
MAX_REMEMBERED = 4096

# At 60 ms each (bcrypt 10) the last in the queue waits two seconds: less than the 15 that docker
# allows a log-in, and about what nginx's `limit_req` lets wait.
MAX_WAITING = 32

# One user may have so many different passwords in the queue; a person has one, a guesser many.
MAX_WAITING_A_USER = 4

RETRY_AFTER_SECONDS = 2

# Half of the processors verify, so that the other half can serve; each may need 64 MiB (argon2).
MAX_THREADS = 4


def default_threads() -> int:
    """So many verifications may run at the same time on this machine."""
    return max(1, min(MAX_THREADS, (os.cpu_count() or 1) // 2))


class PasswordVerifier:
    """Answers whether a name and a password belong together."""

    def __init__(
        self,
        file: HtpasswdFile,
        *,
        log: Logger,
        threads: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._log = log
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._pool = ThreadPoolExecutor(threads or default_threads(), "passwords")
        self._running: dict[bytes, asyncio.Future[bool]] = {}
        self._waiting_by_user: Counter[bytes] = Counter()
        self._right = Remembered(seconds=SUCCESS_SECONDS, capacity=MAX_REMEMBERED)
        self._wrong = Remembered(seconds=FAILURE_SECONDS, capacity=MAX_REMEMBERED)

    def close(self) -> None:
        """End the threads; what they were verifying is given up."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def stored(self, user: str) -> StoredHash | None:
        """The user's present hash, or None where there is no such user."""
        return self._file.users().hashes.get(user)

    async def verify(self, user: str, password: str) -> bool:
        """Whether this is the user's password.

        Raises TooManyRequests when too many verifications wait already.
        """
        users = self._file.users()
        stored = users.hashes.get(user)
        name, secret = user.encode(), password.encode()
        # The hash is part of the key: a changed or removed entry finds nothing remembered.
        key = self._digest(name, secret, stored.text.encode() if stored else b"")
        now = self._clock()
        if self._right.holds(key, now):
            return True
        if self._wrong.holds(key, now):
            return False
        running = self._running.get(key)
        if running is None:
            name_key = self._digest(name)
            decoy = users.decoy(int.from_bytes(name_key[:8]))
            running = self._start(key, name_key, stored, decoy, secret)
        # Shielded: the others who wait for this verification must not suffer when one leaves.
        return await asyncio.shield(running)

    def _digest(self, *parts: bytes) -> bytes:
        """A MAC of the parts; what is kept in memory must be of no use outside this process."""
        mac = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            mac.update(len(part).to_bytes(8))
            mac.update(part)
        return mac.digest()

    def _start(
        self,
        key: bytes,
        name_key: bytes,
        stored: StoredHash | None,
        decoy: StoredHash,
        secret: bytes,
    ) -> asyncio.Future[bool]:
        if (
            len(self._running) >= MAX_WAITING
            or self._waiting_by_user[name_key] >= MAX_WAITING_A_USER
        ):
            raise TooManyRequests(
                "Too many log-ins are being verified at the moment; try again in "
                f"{RETRY_AFTER_SECONDS} seconds.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._pool, self._compute, stored, decoy, secret)
        self._running[key] = running
        self._waiting_by_user[name_key] += 1

        def finished(future: asyncio.Future[bool]) -> None:
            del self._running[key]
            self._waiting_by_user[name_key] -= 1
            if not self._waiting_by_user[name_key]:
                del self._waiting_by_user[name_key]
            if future.cancelled() or future.exception() is not None:
                return
            (self._right if future.result() else self._wrong).add(key, self._clock())

        running.add_done_callback(finished)
        return running

    def _compute(self, stored: StoredHash | None, decoy: StoredHash, secret: bytes) -> bool:
        try:
            matches = (stored or decoy).verify(secret)
        except (MemoryError, ValueError, VerificationError) as error:
            self._log.error("a password could not be verified", reason=type(error).__name__)
            raise Unavailable("The password cannot be verified at the moment.") from error
        return matches and stored is not None
