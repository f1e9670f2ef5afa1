# SPDX-License-Identifier: Apache-2.0
"""The store of objects keeps the contracts on every kind of server that is there to try it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.storage.extent_contract import ExtentStoreContract
from tests.storage.records_contract import RecordsContract
from tests.support.object_stores import store_of, unfinished_parts

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.storage.objects import ObjectStore
    from moorage.storage.protocol import ExtentStore, RecordKeeper
    from tests.support.object_servers import ObjectServer


class OnServer(ExtentStoreContract, RecordsContract):
    """Both contracts, in a new bucket for each test."""

    server: ObjectServer
    folder: Path
    bucket: str

    def make(self) -> ObjectStore:
        """A store in an empty bucket, below a prefix."""
        self.bucket = self.server.bucket()
        more = {"rootdirectory": "/some/where"}
        return store_of(self.server.settings(self.bucket), self.folder, settings=more)

    async def keeper(self) -> RecordKeeper:
        """A started one."""
        store = self.make()
        await store.start()
        return store

    async def left(self, store: ExtentStore) -> list[object]:
        """Every object of ours, and parts of uploads that were not finished."""
        objects: ObjectStore = store  # type: ignore[assignment]
        await objects.settled()
        return [
            *[blob async for blob in objects.stored()],
            *[item async for item in objects.objects()],
            *unfinished_parts(self.server, self.bucket),
        ]


class TestS3(OnServer):
    """On a server that speaks S3."""

    @pytest.fixture(autouse=True)
    def _server(self, s3_server: ObjectServer, tmp_path: Path) -> None:
        self.server, self.folder = s3_server, tmp_path


class TestAzure(OnServer):
    """On a server that speaks Azure Blob Storage."""

    @pytest.fixture(autouse=True)
    def _server(self, azure_server: ObjectServer, tmp_path: Path) -> None:
        self.server, self.folder = azure_server, tmp_path


class TestGCS(OnServer):
    """On a server that speaks Google Cloud Storage."""

    @pytest.fixture(autouse=True)
    def _server(self, gcs_server: ObjectServer, tmp_path: Path) -> None:
        self.server, self.folder = gcs_server, tmp_path
