# SPDX-License-Identifier: Apache-2.0
"""Writes events. An event exists if and only if what it tells of has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

if TYPE_CHECKING:
    from moorage.content.changes import Actor, Change
    from moorage.db.protocol import Transaction

_APPEND = """
    INSERT INTO events (id, at, actor, action, repository, target, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

# A digest is a kind of text that the encoder does not know.
_to_json = msgspec.json.Encoder(enc_hook=str).encode


class EventLog:
    """The log of one registry."""

    async def append(self, transaction: Transaction, actor: Actor, at: int, change: Change) -> None:
        """Record a change on behalf of `actor`, at `at` (microseconds)."""
        detail = {
            **change.detail,
            "address": actor.address,
            "request": actor.request_id,
        }
        await transaction.execute(
            _APPEND,
            str(uuid4()),
            at,
            actor.name,
            change.action,
            change.repository,
            change.target,
            _to_json(detail).decode(),
        )
