# SPDX-License-Identifier: Apache-2.0
"""The registry's life in one process: started, kept tidy while it serves, ended in order."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.observe.logs import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.access.service import AccessService
    from moorage.content.service import Content
    from moorage.db.protocol import Database
    from moorage.settings.sections.storage import Maintenance
    from moorage.storage.protocol import AppendableStore

_MICROSECONDS = 1_000_000


class RegistryLife:
    """Starts and ends the parts, and purges uploads that nobody finishes."""

    def __init__(
        self,
        database: Database,
        store: AppendableStore,
        content: Content,
        access: AccessService,
        maintenance: Maintenance,
        *,
        forgotten: Path | None = None,
    ) -> None:
        """`forgotten` is a folder to remove at the end: that of a registry in memory."""
        self._database = database
        self._store = store
        self._content = content
        self._access = access
        self._maintenance = maintenance
        self._forgotten = forgotten
        self._purging: asyncio.Task[None] | None = None
        self._ready = False
        self._log = get_logger("moorage")

    async def start(self) -> None:
        """Open database and store; from here on requests can be answered."""
        try:
            await self._store.start()
            await self._database.start()
        except BaseException:
            self._forget()
            raise
        purging = self._maintenance.uploadpurging
        if purging.enabled and not self._maintenance.readonly.enabled:
            self._purging = asyncio.create_task(self._purge_regularly())
        self._ready = True

    async def stop(self) -> None:
        """Let go of everything; what was acknowledged is on disk already."""
        self._ready = False
        if self._purging is not None:
            self._purging.cancel()
            with suppress(asyncio.CancelledError):
                await self._purging
        await self._database.close()
        self._access.close()
        self._forget()

    def _forget(self) -> None:
        if self._forgotten is not None:
            shutil.rmtree(self._forgotten, ignore_errors=True)

    async def is_ready(self) -> bool:
        """Whether requests can be answered, database included."""
        if not self._ready:
            return False
        return await self._database.fetch_one("SELECT 1") is not None

    async def _purge_regularly(self) -> None:
        settings = self._maintenance.uploadpurging
        while True:
            idle_since = now() - int(settings.age * _MICROSECONDS)
            try:
                count = await self._content.uploads.purge(idle_since, dry_run=settings.dryrun)
            except Exception as error:  # noqa: BLE001 (the next round may succeed; serving goes on)
                self._log.exception("purging idle uploads failed", error)
            else:
                if count:
                    self._log.info("purged idle uploads", count=count, dry_run=settings.dryrun)
            await asyncio.sleep(settings.interval)
