# SPDX-License-Identifier: Apache-2.0
"""Keys that are worth remembering for a while: bounded in number and in age.

Values do not live here, only the fact that a key was seen. Invariant: never more than `capacity`
keys, and none is found again once its time is over.
"""

from __future__ import annotations

from collections import OrderedDict


class Remembered:
    """A set whose members expire; the least recently used make room for new ones."""

    def __init__(self, *, seconds: float, capacity: int) -> None:
        self._seconds = seconds
        self._capacity = capacity
        self._expiry: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._expiry)

    def holds(self, key: bytes, now: float) -> bool:
        """Whether the key was added less than `seconds` ago."""
        expires = self._expiry.get(key)
        if expires is None:
            return False
        if expires <= now:
            del self._expiry[key]
            return False
        self._expiry.move_to_end(key)
        return True

    def add(self, key: bytes, now: float) -> None:
        """Remember the key from now on."""
        self._expiry[key] = now + self._seconds
        self._expiry.move_to_end(key)
        if len(self._expiry) > self._capacity:
            self._expiry.popitem(last=False)
