# SPDX-License-Identifier: Apache-2.0
"""The hash of an upload so far, carried from one request of its session to the next.

hashlib's state cannot be stored. It need not be for the usual push: the closing PUT has no body and
compares with the digest that the catalogue recorded. For chunked uploads each process remembers the
running hash of the sessions it has served lately and reads from the store only what it missed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from moorage.spec.digests import new_hasher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from moorage.spec.digests import Hasher

    HashRange = Callable[[str, Hasher, int, int], Awaitable[None]]

# A SHA-512 state is some 300 bytes; more sessions than this are read again from the store.
REMEMBERED_SESSIONS = 4096


class RunningHashes:
    """Hash states by session, the longest unused forgotten first."""

    def __init__(self, hash_range: HashRange) -> None:
        """`hash_range` feeds a part of an upload to a hasher: session, hasher, start, stop."""
        self._hash_range = hash_range
        self._states: OrderedDict[str, tuple[str, int, Hasher]] = OrderedDict()

    async def resume(self, session: str, algorithm: str, received: int) -> Hasher:
        """A hasher that has seen exactly the upload's first `received` bytes."""
        remembered = self._states.pop(session, None)
        if remembered and remembered[0] == algorithm and remembered[1] <= received:
            _, seen, hasher = remembered
        else:
            seen, hasher = 0, new_hasher(algorithm)
        if seen < received:
            await self._hash_range(session, hasher, seen, received)
        return hasher

    def remember(self, session: str, algorithm: str, received: int, hasher: Hasher) -> None:
        """Keep the state for the session's next request."""
        self._states[session] = (algorithm, received, hasher)
        if len(self._states) > REMEMBERED_SESSIONS:
            self._states.popitem(last=False)

    def forget(self, session: str) -> None:
        """The session is over."""
        self._states.pop(session, None)
