# SPDX-License-Identifier: Apache-2.0
"""Finds the newest snapshot that can be believed, and says why newer ones cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from moorage.lifecycle.snapshots import UnusableSnapshot, open_snapshot, snapshot_times
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.lifecycle.snapshots import SignatureKey, Snapshot
    from moorage.storage.protocol import RecordKeeper

_MICROSECONDS = 1_000_000


async def choose_snapshot(
    keeper: RecordKeeper, key: SignatureKey, told: Callable[[str], None], *, trust: bool
) -> Snapshot | None:
    """The newest usable snapshot; None when there never was one.

    Raises:
        Unavailable: there are snapshots, and none can be used.
    """
    complete, _ = await snapshot_times(keeper)
    reasons: list[UnusableSnapshot] = []
    for taken_at in complete:
        try:
            return await open_snapshot(keeper, key, taken_at, trust=trust)
        except UnusableSnapshot as reason:
            reasons.append(reason)
            told(f"the snapshot of {when(taken_at)} is not used: {reason}")
    if not reasons:
        return None
    advice = "--without-snapshot rebuilds everything but tags"
    if any(reason.signature for reason in reasons):
        advice = (
            "if you know that nobody else can write to the store, --trust-snapshot uses the "
            f"newest all the same; {advice}"
        )
    raise Unavailable(f"none of the snapshots can be used ({reasons[0]}): {advice}")


def when(microseconds: int) -> str:
    """A time for people."""
    moment = datetime.fromtimestamp(microseconds // _MICROSECONDS, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
