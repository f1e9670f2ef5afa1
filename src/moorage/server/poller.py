# SPDX-License-Identifier: Apache-2.0
"""Tells when sockets can be read or written, by an epoll of our own that the event loop watches.

uvloop's `add_reader` is not enough for connections that pause and resume their input all the time:
under uvloop 0.23 a socket was seen to fall out of the loop's epoll while its reader was registered
(TLS clients that close after each request; `tests/server/test_poller.py`), so that its end was
never noticed. Here a registration is one system call with nothing between it and the kernel, and an
error or a hang-up wakes whoever waits, as in asyncio's own loop.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP
_BROKEN: Final = select.EPOLLERR | select.EPOLLHUP
_BATCH: Final = 256
"""Events taken at once; what is left announces itself again."""


class Poller:
    """Readers and writers by file descriptor, on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._dispatch)

    def add_reader(self, fileno: int, callback: Callable[[], None]) -> None:
        """Call back whenever there is something to read, until the reader is removed."""
        known = fileno in self._readers or fileno in self._writers
        self._readers[fileno] = callback
        self._update(fileno, known=known)

    def add_writer(self, fileno: int, callback: Callable[[], None]) -> None:
        """Call back whenever there is room to write, until the writer is removed."""
        known = fileno in self._readers or fileno in self._writers
        self._writers[fileno] = callback
        self._update(fileno, known=known)

    def remove_reader(self, fileno: int) -> None:
        """No more news of input; also when there was no reader."""
        if self._readers.pop(fileno, None) is not None:
            self._update(fileno, known=True)

    def remove_writer(self, fileno: int) -> None:
        """No more news of room; also when there was no writer."""
        if self._writers.pop(fileno, None) is not None:
            self._update(fileno, known=True)

    def close(self) -> None:
        """Forget everything."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _update(self, fileno: int, *, known: bool) -> None:
        mask = _READABLE if fileno in self._readers else 0
        if fileno in self._writers:
            mask |= select.EPOLLOUT
        if not mask:
            self._epoll.unregister(fileno)
        elif known:
            self._epoll.modify(fileno, mask)
        else:
            self._epoll.register(fileno, mask)

    def _dispatch(self) -> None:
        for fileno, mask in self._epoll.poll(0, _BATCH):
            # Looked up now: an earlier callback may have closed this one's socket.
            if mask & (_READABLE | _BROKEN):
                self._call(self._readers.get(fileno))
            if mask & (select.EPOLLOUT | _BROKEN):
                self._call(self._writers.get(fileno))

    def _call(self, callback: Callable[[], None] | None) -> None:
        if callback is None:
            return
        try:
            callback()
        except Exception as error:  # noqa: BLE001 (one connection's fault must not stop the others)
            self._loop.call_exception_handler(
                {"message": "a connection's callback failed", "exception": error}
            )
