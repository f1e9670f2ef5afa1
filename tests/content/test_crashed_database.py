# SPDX-License-Identifier: Apache-2.0
"""What a crash of the database may take back, and what not: destroyed objects stay destroyed."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from moorage.content.changes import Actor
from moorage.content.rules import ManifestRules
from moorage.content.service import build_content
from moorage.content.uploads import Chunk
from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_pool import PostgresOptions
from moorage.events.log import EventLog
from moorage.spec.digests import Digest
from moorage.spec.errors import BlobUploadUnknown
from moorage.spec.names import RepositoryName
from tests.support.extents import ExtentMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.db.protocol import Transaction
    from tests.support.postgres import PostgresServer

REPOSITORY = RepositoryName("a")
SOMEBODY = Actor("somebody")
CONTENT = b"content"
_WAL_WRITER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"


async def body(*parts: bytes) -> AsyncIterator[bytes]:
    """A request's body."""
    for part in parts:
        yield part


async def touch(transaction: Transaction) -> None:
    """A change of no consequence."""
    await transaction.execute("UPDATE uploads SET touched_at = touched_at")


def test_a_canceled_upload_does_not_come_back_without_its_objects(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    """Canceled, swept, and then the database crashes: nobody can finish what has no bytes."""

    async def scenario() -> None:
        database = PostgresDatabase(PostgresOptions(url=postgres_server.url(postgres_database)))
        await database.start()
        store = ExtentMemory()
        content = build_content(database, store, EventLog(), boot="", rules=ManifestRules())
        uploads = content.uploads
        session = (await uploads.start(REPOSITORY, SOMEBODY, "sha256")).session
        await uploads.append(REPOSITORY, session, Chunk(body(CONTENT)))
        await database.transaction(touch)  # durable, and with it what came before

        (writer,) = await database.fetch_one(_WAL_WRITER) or (0,)
        # Only who waits for the disk gets there now.
        os.kill(writer, signal.SIGSTOP)
        await uploads.cancel(REPOSITORY, session)
        assert await content.garbage.sweep() == 1
        os.kill(writer, signal.SIGKILL)
        await asyncio.to_thread(postgres_server.crash)
        await asyncio.to_thread(postgres_server.start)

        with pytest.raises(BlobUploadUnknown):
            await uploads.finish(
                REPOSITORY,
                session,
                Digest.of(CONTENT),
                Chunk(body(), content_length=0),
                SOMEBODY,
            )
        await database.close()

    asyncio.run(scenario())
