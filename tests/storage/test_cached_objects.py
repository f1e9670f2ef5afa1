# SPDX-License-Identifier: Apache-2.0
"""The cache in front of a real object store: the contracts, and a registry whose workers share it.

Requests are counted at the store.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from moorage.storage.cache_folder import CacheFolder
from moorage.storage.disk_cache import DiskCache
from tests.storage.extent_contract import ExtentStoreContract
from tests.storage.records_contract import RecordsContract
from tests.support.images import blob_path, push_blob, random_blob
from tests.support.object_proxy import ObjectProxy
from tests.support.object_requests import Meaning
from tests.support.object_stores import store_of
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.storage.objects import ObjectStore
    from moorage.storage.protocol import ExtentStore, RecordKeeper
    from tests.support.object_servers import ObjectServer

REPOSITORY = "team/app"
LENGTH = 3_000_000


class TestCachedS3(ExtentStoreContract, RecordsContract):
    """Both contracts, through a cache."""

    server: ObjectServer
    folder: Path
    objects: ObjectStore

    @pytest.fixture(autouse=True)
    def _server(self, s3_server: ObjectServer, tmp_path: Path) -> None:
        self.server, self.folder = s3_server, tmp_path

    def make(self) -> DiskCache:
        """A store in an empty bucket, with an empty cache."""
        self.objects = store_of(self.server.settings(), self.folder)
        return DiskCache(self.objects, CacheFolder(self.folder / "cache", 1 << 30, "this-run"))

    async def keeper(self) -> RecordKeeper:
        """A started one."""
        store = self.make()
        await store.start()
        return store

    async def left(self, store: ExtentStore) -> list[object]:
        """Every object of ours."""
        await self.objects.settled()
        return [item async for item in self.objects.objects()]


@pytest.fixture
def cached(s3_server: ObjectServer, tmp_path: Path) -> Cached:
    """A registry of two workers with a cache, not yet started."""
    return Cached(s3_server, tmp_path)


class Cached:
    """A registry on a store whose requests are counted."""

    def __init__(self, server: ObjectServer, folder: Path) -> None:
        self.proxy = ObjectProxy(server)
        self.folder = folder / "cache"
        self.registry = RunningRegistry(
            folder / "registry",
            {
                "storage": {
                    **server.settings(endpoint=self.proxy.endpoint),
                    "localcache": {"rootdirectory": str(self.folder), "size": "64MiB"},
                },
                "database": {"sqlite": {"path": str(folder / "moorage.db")}},
                "http": {"workers": 2},
            },
        )

    def wire(self) -> Wire:
        """A new client, which any of the workers may serve."""
        return Wire(f"http://{self.registry.host}")

    def files(self) -> list[Path]:
        """Complete copies."""
        return [path for path in self.folder.glob("run-*/objects/*/*") if path.is_file()]


def test_workers_share_what_one_has_read(cached: Cached) -> None:
    """The first pull makes one request to the store; after it pulls and ranges make none."""
    blob = random_blob(LENGTH)
    with cached.proxy, cached.registry:
        with cached.wire() as wire:
            push_blob(wire, REPOSITORY, blob)
            assert cached.files() == []
            cached.proxy.reset()
            answer = wire.get(blob_path(REPOSITORY, blob.digest))
            assert (answer.status, answer.body) == (200, blob.payload)
        assert cached.proxy.counts == {Meaning.GET: 1}
        while not cached.files():
            pass
        for _ in range(8):
            with cached.wire() as wire:
                answer = wire.get(blob_path(REPOSITORY, blob.digest))
                assert (answer.status, answer.body) == (200, blob.payload)
                answer = wire.get(blob_path(REPOSITORY, blob.digest), ("Range", "bytes=5-99"))
                assert (answer.status, answer.body) == (206, blob.payload[5:100])
        assert cached.proxy.counts == {Meaning.GET: 1}


def test_a_crowd_costs_one_request_a_process(cached: Cached) -> None:
    """Twenty clients that begin at the same time are one download for each of two workers."""
    blob = random_blob(LENGTH)
    failures: list[BaseException] = []

    def pull() -> None:
        try:
            with cached.wire() as wire:
                ready.wait(30)
                assert wire.get(blob_path(REPOSITORY, blob.digest)).body == blob.payload
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failures.append(error)

    with cached.proxy, cached.registry:
        with cached.wire() as wire:
            push_blob(wire, REPOSITORY, blob)
        cached.proxy.reset()
        ready = threading.Barrier(20)
        threads = [threading.Thread(target=pull) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures, failures
        assert 1 <= cached.proxy.counts[Meaning.GET] <= 2


def test_a_restart_keeps_it_and_a_wiped_folder_is_no_error(cached: Cached) -> None:
    """The copies are there after a restart of the registry; an emptied folder is filled again."""
    blob = random_blob(LENGTH)
    with cached.proxy:
        with cached.registry, cached.wire() as wire:
            push_blob(wire, REPOSITORY, blob)
            wire.get(blob_path(REPOSITORY, blob.digest))
            while not cached.files():
                pass
        with cached.registry, cached.wire() as wire:
            cached.proxy.reset()
            assert wire.get(blob_path(REPOSITORY, blob.digest)).body == blob.payload
            assert not cached.proxy.counts[Meaning.GET]
            for path in sorted(cached.folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            while not cached.files():
                assert wire.get(blob_path(REPOSITORY, blob.digest)).body == blob.payload
