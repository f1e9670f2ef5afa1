# SPDX-License-Identifier: Apache-2.0
"""The bounded, expiring set."""

from __future__ import annotations

from moorage.access.remembered import Remembered


def test_keys_expire() -> None:
    """A key is held until its time is over, however often it is asked for."""
    keys = Remembered(seconds=10, capacity=4)
    keys.add(b"a", 100)

    assert keys.holds(b"a", 105)
    assert keys.holds(b"a", 109)
    assert not keys.holds(b"a", 110)
    assert len(keys) == 0


def test_the_least_recently_used_make_room() -> None:
    """Above the capacity the keys that nobody asked for go first."""
    keys = Remembered(seconds=10, capacity=2)
    keys.add(b"a", 0)
    keys.add(b"b", 0)
    assert keys.holds(b"a", 1)
    keys.add(b"c", 1)

    assert [keys.holds(key, 2) for key in (b"a", b"b", b"c")] == [True, False, True]
    assert len(keys) == 2
