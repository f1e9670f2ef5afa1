# SPDX-License-Identifier: Apache-2.0
"""`serve`: from an application factory and options to a process that answers and ends well.

One worker runs in this very process; several are children of a supervisor. A worker is started when
its application is, drains on SIGTERM or SIGINT, and stops at once on the second signal. Draining
begins with a delay, in which new connections are served while a balancer learns to go elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import uvloop

from moorage.server.asgi import ASGIApp
from moorage.server.lifespan import Lifespan, StartupError, describe
from moorage.server.listening import ListenError, addresses_of, close_listeners, open_listeners
from moorage.server.server import Server
from moorage.server.service_manager import READY, STOPPING, notify
from moorage.server.supervisor import EXIT_NOT_STARTED, EXIT_OK, Supervision, WorkerLink, supervise
from moorage.server.tls import Certificates, TLSError

if TYPE_CHECKING:
    import socket

    from moorage.server.options import ServerOptions

logger = logging.getLogger("moorage.server")

AppFactory = Callable[[], ASGIApp]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class ServerCondition:
    """What the application may ask about its server: `scope["state"]["server"]`."""

    draining: bool = False


def serve(app_factory: AppFactory, options: ServerOptions) -> int:
    """Serves until told to stop; returns the process's exit code."""
    try:
        certificates = Certificates(options.tls) if options.tls is not None else None
        listeners = open_listeners(options)
    except (ListenError, TLSError) as error:
        return _not_started(error)
    addresses = addresses_of(listeners[0], encrypted=certificates is not None)

    def ready() -> None:
        logger.info("listening on %s", ", ".join(addresses))
        notify(READY)
        if options.on_ready is not None:
            options.on_ready(addresses)

    def stopping() -> None:
        notify(STOPPING)
        close_listeners(listeners)

    def work(link: WorkerLink | None) -> int:
        own = listeners[link.number if link else 0]
        # an open copy, even unused, would keep another worker's port open while that one drains
        close_listeners([others for others in listeners if others != own])
        announce = ready if link is None else link.announce
        worker = Worker(app_factory, options, own, certificates, announce, link)
        return uvloop.run(worker.run())

    try:
        if options.workers == 1:
            return work(None)
        return supervise(
            Supervision(
                work=work,
                workers=options.workers,
                on_ready=ready,
                on_stopping=stopping,
                drain_seconds=options.drain_delay + options.drain_seconds,
            )
        )
    finally:
        close_listeners(listeners)
        if options.unix_socket is not None:
            options.unix_socket.unlink(missing_ok=True)


def _make(factory: AppFactory) -> ASGIApp:
    try:
        return factory()
    except (Exception, SystemExit) as error:
        logger.debug("the application cannot be made", exc_info=True)
        raise StartupError(describe(error)) from error


def _not_started(error: Exception) -> int:
    logger.error("%s", error)
    return EXIT_NOT_STARTED


@dataclass(slots=True)
class Worker:
    """One process's part: the application, its server, and the signals."""

    app_factory: AppFactory
    options: ServerOptions
    listeners: list[socket.socket]
    certificates: Certificates | None
    announce: Callable[[], None]
    link: WorkerLink | None = None
    _told: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _told_again: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> int:
        """Starts, serves, drains; returns the exit code."""
        condition = ServerCondition()
        state: dict[str, Any] = {"server": condition}
        self._listen_to_signals()
        try:
            app = _make(self.app_factory)
            lifespan = Lifespan(app, state)
            await lifespan.startup()
        except StartupError as error:
            return _not_started(error)
        server = Server(
            app,
            self.listeners,
            limits=self.options.limits,
            certificates=self.certificates,
            state=state,
        )
        server.start_accepting()
        gc.collect()
        gc.freeze()  # the application's own objects need not be looked at again and again
        self.announce()
        watcher = asyncio.create_task(self._watch_certificates())
        await self._told.wait()
        watcher.cancel()
        condition.draining = True
        if self.link is None:
            notify(STOPPING)
        await self._wait_for_balancer(server)
        await self._drain(server)
        return EXIT_OK if await lifespan.shutdown() else 1

    def stop(self) -> None:
        """The first time: drain. The second time: stop at once."""
        (self._told_again if self._told.is_set() else self._told).set()

    async def _wait_for_balancer(self, server: Server) -> None:
        """Go on as before for the delay, but let no client keep its connection."""
        if not self.options.drain_delay:
            return
        logger.info("stopping: new connections are accepted for %g s", self.options.drain_delay)
        server.keeps_connections = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._told_again.wait(), self.options.drain_delay)

    async def _drain(self, server: Server) -> None:
        logger.info("stopping: requests in flight have %g s to finish", self.options.drain_seconds)
        draining = asyncio.create_task(server.drain(self.options.drain_seconds))
        again = asyncio.create_task(self._told_again.wait())
        await asyncio.wait([draining, again], return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not draining.done():
            draining.cancel()
            cut = server.stop()
        else:
            cut = draining.result()
        if cut:
            logger.warning("%d requests were cut off", cut)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        if self.link is not None:
            self.link.watch(loop, self._supervisor_gone)

    def _supervisor_gone(self) -> None:
        logger.error("the supervisor is gone: stopping at once")
        self.stop()
        self.stop()

    async def _watch_certificates(self) -> None:
        while self.certificates is not None and self.options.tls is not None:
            await asyncio.sleep(self.options.tls.reload_seconds)
            self.certificates.reload_if_changed()
