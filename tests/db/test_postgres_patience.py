# SPDX-License-Identifier: Apache-2.0
"""How often a transaction is tried again."""

from __future__ import annotations

import asyncio

import asyncpg

from moorage.db.postgres_errors import Fault
from moorage.db.postgres_patience import CONFLICT_SECONDS, CONSTRAINT_ATTEMPTS, Patience


def test_conflicts_do_not_use_up_the_patience_with_constraints() -> None:
    """Who has met some conflicts may still try again after a violated constraint."""

    async def scenario() -> None:
        patience = Patience(CONFLICT_SECONDS)
        for _ in range(CONSTRAINT_ATTEMPTS):
            assert patience.permits(Fault.CONFLICT)
            await patience.wait(asyncpg.SerializationError())
        for _ in range(CONSTRAINT_ATTEMPTS - 1):
            assert patience.permits(Fault.CONSTRAINT)
            await patience.wait(asyncpg.UniqueViolationError())
        assert not patience.permits(Fault.CONSTRAINT)

    asyncio.run(scenario())
