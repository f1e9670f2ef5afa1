# SPDX-License-Identifier: Apache-2.0
"""The registry's life in one process: started, kept tidy while it serves, ended in order."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from moorage.storage.protocol import SettlingStore
from moorage.upkeep import Upkeep

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.access.service import AccessService
    from moorage.content.service import Content
    from moorage.db.protocol import Database
    from moorage.lifecycle.snapshot_keeping import SnapshotKeeping
    from moorage.settings.sections.storage import Maintenance
    from moorage.storage.protocol import BlobStore


# What a failed push has left is removed before the end, unless the store does not answer.
SETTLING_SECONDS = 5.0


class RegistryLife:
    """Starts and ends the parts, and keeps what it stores tidy."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        content: Content,
        access: AccessService,
        maintenance: Maintenance,
        *,
        snapshots: SnapshotKeeping | None = None,
        forgotten: Path | None = None,
    ) -> None:
        """`forgotten` is a folder to remove at the end: that of a registry in memory."""
        self._database = database
        self._store = store
        self._content = content
        self._access = access
        self._maintenance = maintenance
        self._forgotten = forgotten
        self._upkeep = Upkeep(content, maintenance, snapshots)
        self._ready = False

    async def start(self) -> None:
        """Open database and store; from here on requests can be answered."""
        try:
            await self._store.start()
            await self._database.start()
            await self._access.start()
        except BaseException:
            self._forget()
            raise
        if not self._maintenance.readonly.enabled:
            self._upkeep.start()
        self._ready = True

    async def stop(self) -> None:
        """Let go of everything; what was acknowledged is on disk already."""
        self._ready = False
        await self._upkeep.stop()
        if isinstance(self._store, SettlingStore):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._store.settled(), SETTLING_SECONDS)
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
