# SPDX-License-Identifier: Apache-2.0
"""Several workers: started, replaced when they die, told to stop, and never left behind.

The supervisor does nothing but wait. Workers are forked before it has threads or an event loop;
each holds the reading end of a pipe whose only writing end is the supervisor's, so that even `kill
-9` of the supervisor is noticed and no worker stays behind on the port.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("moorage.server")

EXIT_OK: Final = 0
EXIT_NOT_STARTED: Final = 3
"""The application, the port or the certificate: trying again would fail again (uvicorn uses 3 as
well)."""

_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 10.0
_STEADY_SECONDS: Final = 30.0
"""A worker that lived this long is replaced without delay."""

_KILL_AFTER_SECONDS: Final = 10.0
"""Beyond the drain time; then a worker that does not end is killed."""


@dataclass(frozen=True, slots=True)
class WorkerLink:
    """A worker's ends of the two pipes between it and its supervisor."""

    number: int
    """Which of the workers this is, from 0; a replacement has the number of the one that died."""

    alive: int
    ready: int

    def announce(self) -> None:
        """Tells the supervisor that requests are being answered."""
        os.write(self.ready, b"+")

    def watch(self, loop: asyncio.AbstractEventLoop, gone: Callable[[], None]) -> None:
        """Calls `gone` when the supervisor is no more."""

        def ended() -> None:
            loop.remove_reader(self.alive)
            gone()

        loop.add_reader(self.alive, ended)


Work = Callable[[WorkerLink], int]


@dataclass(frozen=True, slots=True)
class Supervision:
    """What a supervisor is to do."""

    work: Work
    """Runs in each worker; returns its exit code."""

    workers: int
    on_ready: Callable[[], None]
    """Called when all workers have announced themselves."""

    on_stopping: Callable[[], None]
    """Called at the first signal, before it is passed on."""

    drain_seconds: float


def supervise(supervision: Supervision) -> int:
    """Keeps the workers at work until a signal comes; returns the exit code."""
    return _Supervisor(supervision).run()


class _Supervisor:
    def __init__(self, supervision: Supervision) -> None:
        self._orders = supervision
        self._missing = list(range(supervision.workers))
        self._started: dict[int, tuple[int, float]] = {}
        """Process: number and time of its start."""
        self._delay = _FIRST_DELAY_SECONDS
        self._missing_until = 0.0
        self._announced = 0
        self._signals = 0
        self._exit_code = EXIT_OK
        self._alive_read, self._alive_write = os.pipe()
        self._ready_read, self._ready_write = os.pipe()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def run(self) -> int:
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        }
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            while not self._signals:
                self._start_missing()
                self._wait()
                self._bury()
            self._end()
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in previous.items():
                signal.signal(number, handler)
            for pipe in (
                self._alive_read, self._alive_write, self._ready_read,
                self._ready_write, self._wake_read, self._wake_write,
            ):  # fmt: skip
                with contextlib.suppress(OSError):
                    os.close(pipe)
        return self._exit_code

    def _on_signal(self, number: int, _: object) -> None:
        if number != signal.SIGCHLD:
            self._signals += 1

    # -- starting ----------------------------------------------------------------------------------

    def _start_missing(self) -> None:
        while self._missing and time.monotonic() >= self._missing_until:
            number = self._missing.pop(0)
            # A worker has the supervisor's handlers for a moment, which would swallow the signal.
            with _held_back(signal.SIGTERM, signal.SIGINT):
                process = os.fork()
                if process == 0:
                    self._become_worker(number)
            self._started[process] = (number, time.monotonic())

    def _become_worker(self, number: int) -> None:
        """Never returns: whatever happens, this process must not go on as a second supervisor."""
        exit_code = 1
        try:
            signal.set_wakeup_fd(-1)
            for handled in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(handled, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            for pipe in (self._alive_write, self._ready_read, self._wake_read, self._wake_write):
                os.close(pipe)
            link = WorkerLink(number, self._alive_read, self._ready_write)
            exit_code = self._orders.work(link)
        except BaseException:
            logger.exception("a worker failed")
        finally:
            logging.shutdown()
            os._exit(exit_code)

    # -- watching ----------------------------------------------------------------------------------

    def _wait(self) -> None:
        delay: float | None = None
        if self._missing:
            delay = max(0.0, self._missing_until - time.monotonic())
        readable, _, _ = select.select([self._wake_read, self._ready_read], [], [], delay)
        if self._wake_read in readable:
            os.read(self._wake_read, 4096)
        if self._ready_read in readable:
            before = self._announced
            self._announced += len(os.read(self._ready_read, 4096))
            if before < self._orders.workers <= self._announced:
                self._orders.on_ready()

    def _bury(self) -> None:
        for process, status in _ended():
            if process not in self._started:
                continue
            number, since = self._started.pop(process)
            code = os.waitstatus_to_exitcode(status)
            if self._signals:
                continue
            if code == EXIT_NOT_STARTED:
                self._exit_code = code
                self._signals = 1
                continue
            if time.monotonic() - since >= _STEADY_SECONDS:
                self._delay = _FIRST_DELAY_SECONDS
            self._missing.append(number)
            logger.error("worker %d ended with %d; a new one starts", process, code)
            self._missing_until = time.monotonic() + self._delay
            self._delay = min(self._delay * 2, _LONGEST_DELAY_SECONDS)

    # -- ending ------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Passes each signal on; kills what has not ended long after it should have."""
        self._orders.on_stopping()
        passed_on = 0
        deadline = time.monotonic() + self._orders.drain_seconds + _KILL_AFTER_SECONDS
        while self._started:
            if passed_on < self._signals:
                passed_on += 1
                self._signal_all(signal.SIGTERM)
            left = deadline - time.monotonic()
            if left <= 0:
                logger.error("%d workers did not end and are killed", len(self._started))
                self._exit_code = 1
                self._signal_all(signal.SIGKILL)
                deadline = time.monotonic() + _KILL_AFTER_SECONDS
                continue
            if select.select([self._wake_read], [], [], left)[0]:
                os.read(self._wake_read, 4096)
            self._bury()

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


@contextlib.contextmanager
def _held_back(*signals: signal.Signals) -> Iterator[None]:
    """Signals that come inside the block are delivered after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ended() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                break
            found.append((process, status))
    return found
