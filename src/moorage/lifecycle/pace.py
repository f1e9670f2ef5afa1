# SPDX-License-Identifier: Apache-2.0
"""Not faster than so many bytes a second, for work beside the serving."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Makes whoever reports bytes wait until they may have taken so long."""

    def __init__(self, bytes_per_second: int | None) -> None:
        """Without a rate nobody waits."""
        self._rate = bytes_per_second
        self._free_at = 0.0

    async def spent(self, amount: int) -> None:
        """So many bytes were just moved; several may report at once and share the rate."""
        if self._rate is None:
            return
        self._free_at = max(self._free_at, time.monotonic()) + amount / self._rate
        await asyncio.sleep(self._free_at - time.monotonic())
