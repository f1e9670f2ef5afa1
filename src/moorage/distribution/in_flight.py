# SPDX-License-Identifier: Apache-2.0
"""How many bodies one client may be sending at once, so that nobody takes all there is."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moorage.spec.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moorage.distribution.registry import Call


class UploadsInFlight:
    """Counts this process's uploads by principal, or by address where nobody logs in."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    @contextmanager
    def of(self, call: Call) -> Iterator[None]:
        """Count one upload of this client while it lasts.

        Raises:
            TooManyRequests: the client is sending as many as it may already.
        """
        client = call.client if call.principal.kind == "anonymous" else call.principal.name
        if self._counts[client] >= self._limit:
            raise TooManyRequests(
                f"{self._limit} uploads at once are the limit of one client; "
                "finish some before starting the next."
            )
        self._counts[client] += 1
        try:
            yield
        finally:
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]
