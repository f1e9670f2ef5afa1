# SPDX-License-Identifier: Apache-2.0
"""Whether a database has anything in it that somebody might miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.lifecycle.snapshot_keeping import REBUILDING

if TYPE_CHECKING:
    from moorage.db.protocol import Reader

REBUILT = "registry.rebuilt"
_ANYTHING = """
    SELECT 1 WHERE EXISTS (SELECT 1 FROM repositories) OR EXISTS (SELECT 1 FROM blobs)
        OR EXISTS (SELECT 1 FROM events)
"""
_FIRST = "SELECT action FROM events ORDER BY seq LIMIT 1"
_FINISHED = "SELECT 1 FROM events WHERE action = $1"


async def is_empty(reader: Reader) -> bool:
    """Whether nothing was ever done here."""
    return await reader.fetch_one(_ANYTHING) is None


async def is_being_rebuilt(reader: Reader) -> bool:
    """Whether a rebuild began here and did not come to its end."""
    first = await reader.fetch_one(_FIRST)
    if first is None or first[0] != REBUILDING:
        return False
    return await reader.fetch_one(_FINISHED, REBUILT) is None
