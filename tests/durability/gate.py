# SPDX-License-Identifier: Apache-2.0
"""A gate between clients and a registry that is being killed: they wait while it is looked at."""

from __future__ import annotations

import threading

# A client notices a killed registry at once; this only ends a test that has gone wrong.
PARK_SECONDS = 90.0


class Gate:
    """Open, clients work; closed, they gather here; over, they go home."""

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self._waiting = 0
        self._opened = 0
        self._open = False
        self._over = False
        self._changed = threading.Condition()

    def enter(self, *, after: int = 0) -> int | None:
        """Wait for an opening later than the one numbered `after`; None when the day is over."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: (self._open and self._opened > after) or self._over)
            self._waiting -= 1
            return None if self._over else self._opened

    def leave(self) -> None:
        """A client will not come back."""
        with self._changed:
            self._clients -= 1
            self._changed.notify_all()

    def open(self) -> None:
        """Let the clients work."""
        with self._changed:
            self._open = True
            self._opened += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Return once every client waits at the gate."""
        with self._changed:
            self._open = False
            gathered = self._changed.wait_for(
                lambda: self._waiting >= self._clients, timeout=PARK_SECONDS
            )
        assert gathered, "a client hangs in a request to a registry that is gone"

    def end(self) -> None:
        """Send the clients home."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
