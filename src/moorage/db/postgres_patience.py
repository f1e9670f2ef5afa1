# SPDX-License-Identifier: Apache-2.0
"""How often and how long something is tried again in PostgreSQL before its asker is told."""

from __future__ import annotations

import asyncio
import random
import time

from moorage.db.postgres_errors import Fault, fault_of
from moorage.spec.errors import Unavailable

# As long as SQLite's writers wait for each other; a transaction takes some milliseconds.
CONFLICT_SECONDS = 30.0
# Whether a violated constraint was another transaction's doing shows when it is tried again.
CONSTRAINT_ATTEMPTS = 3
FIRST_BACKOFF_SECONDS = 0.001
LONGEST_BACKOFF_SECONDS = 0.1


class Patience:
    """How long one asker goes on trying."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause = FIRST_BACKOFF_SECONDS
        self.attempts = 0
        self._violations = 0
        self.conflicts = 0

    def permits(self, fault: Fault) -> bool:
        """Whether a transaction that failed in this way may succeed when it runs again."""
        if fault is Fault.CONSTRAINT:
            # Those alone: behind a few conflicts the first of them may be one more.
            self._violations += 1
            return self._violations < CONSTRAINT_ATTEMPTS
        return fault in (Fault.CONFLICT, Fault.LOST)

    async def wait(self, error: BaseException) -> None:
        """Wait a little before the next attempt, each time longer.

        Raises:
            Unavailable: it has been tried for long enough.
        """
        self.attempts += 1
        self.conflicts += fault_of(error) is Fault.CONFLICT
        pause = self._pause * random.uniform(0.5, 1.5)  # noqa: S311 (spreads retries)
        if time.monotonic() + pause > self._deadline:
            reason = (
                "the connection to PostgreSQL broke again and again"
                if fault_of(error) is Fault.LOST
                else "other transactions changed the same rows again and again"
            )
            raise Unavailable(reason) from error
        await asyncio.sleep(pause)
        self._pause = min(self._pause * 2, LONGEST_BACKOFF_SECONDS)
