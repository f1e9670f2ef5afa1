# SPDX-License-Identifier: Apache-2.0
"""What happened, and on whose behalf: handed to the event log in the transaction of the change."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moorage.db.protocol import Transaction


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked for a change, and by which request."""

    name: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One change to a repository; `target` is a tag or a digest."""

    action: str
    repository: str
    target: str = ""
    detail: Mapping[str, object] = field(default_factory=dict)


class ChangeLog(Protocol):
    """Where changes are written down."""

    async def append(self, transaction: Transaction, actor: Actor, at: int, change: Change) -> None:
        """Record the change; it counts if and only if the transaction commits."""


def now() -> int:
    """The time, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000
