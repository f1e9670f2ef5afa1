# SPDX-License-Identifier: Apache-2.0
"""Replicas are restarted and upgraded one after the other, and nobody who works notices.

The next version is this one with a migration more, which only adds, and says so: that is all that a
migration may do as long as the version before may still be serving.
"""

from __future__ import annotations

import http.client
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import moorage
from moorage.db.tables import schema_version
from tests.conformance.verbs import tags_of
from tests.support.cluster import Cluster
from tests.support.grounds import GROUNDS, ground
from tests.support.images import (
    OCI_MANIFEST,
    blob_path,
    manifest_path,
    random_image,
    with_digest,
)
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cluster import Replica
    from tests.support.images import Content
    from tests.support.wire import Answer

WORKERS = 4
MIGRATED = "a newer Moorage has brought the database to schema version 9999"
STATEMENT = f"-- works with: {schema_version():04d}"
ADDITIVE = f"""{STATEMENT}
    CREATE TABLE notes (name TEXT COLLATE "C" PRIMARY KEY, note TEXT NOT NULL);
    ALTER TABLE tags ADD COLUMN note TEXT;
    ALTER TABLE blobs ADD COLUMN note TEXT NOT NULL DEFAULT '';
    ALTER TABLE manifests ADD COLUMN note TEXT;
    ALTER TABLE uploads ADD COLUMN note TEXT;
    CREATE INDEX tags_by_note ON tags (note);
"""


@dataclass
class Work:
    """Clients that push and pull, each request tried once more after a connection error."""

    url: str
    over: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)
    images: int = 0
    again: int = 0

    def run(self, number: int) -> None:
        """One client."""
        try:
            with Wire(self.url, seconds=30) as wire:
                while not self.over.is_set():
                    self._round(wire, f"rolling/client-{number}")
        except BaseException as failure:  # noqa: BLE001 (the test raises it)
            self.failures.append(failure)

    def _round(self, wire: Wire, repository: str) -> None:
        image = random_image(layer_size=20_000)
        for blob in image.blobs:
            self._push(wire, repository, blob)
        kind = ("Content-Type", OCI_MANIFEST)
        body = image.manifest.payload
        target = manifest_path(repository, "latest")
        self._expect(201, wire, lambda: wire.put(target, kind, body=body))
        pulled = self._expect(200, wire, lambda: wire.get(target, ("Accept", OCI_MANIFEST)))
        assert pulled.body == body
        for blob in image.blobs:
            path = blob_path(repository, blob.digest)
            assert self._expect(200, wire, lambda path=path: wire.get(path)).body == blob.payload  # type: ignore[misc]
        self.images += 1

    def _push(self, wire: Wire, repository: str, blob: Content) -> None:
        opened = self._expect(202, wire, lambda: wire.post(f"/v2/{repository}/blobs/uploads/"))
        target = with_digest(opened.location, blob.digest)
        self._expect(201, wire, lambda: wire.put(target, body=blob.payload))

    def _expect(self, status: int, wire: Wire, ask: Callable[[], Answer]) -> Answer:
        # A connection of its own for each request: `Wire` then repeats nothing by itself.
        wire.close()
        try:
            answer = ask()
        except (OSError, http.client.HTTPException):
            self.again += 1
            wire.close()
            answer = ask()
        assert answer.status == status, answer
        return answer


@contextmanager
def working(cluster: Cluster) -> Iterator[Work]:
    """Clients at work through the balancer; whatever fails for one of them fails the test."""
    work = Work(f"http://{cluster.host}")
    threads = [threading.Thread(target=work.run, args=(number,)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        yield work
    finally:
        work.over.set()
        for thread in threads:
            thread.join(60)
    assert work.failures == []


def let_work(work: Work, images: int) -> None:
    """Return once the clients have pushed and pulled so many images more."""
    goal, deadline = work.images + images, time.monotonic() + 60
    while work.images < goal and not work.failures:
        assert time.monotonic() < deadline, "the clients get nothing done"
        time.sleep(0.01)


@pytest.fixture(params=GROUNDS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Replicas that a test may end."""
    with ground(request.param, tmp_path / "ground") as shared, Cluster(tmp_path, shared) as running:
        yield running
        assert "Traceback" not in running.logs, running.logs


@pytest.fixture
def following(tmp_path: Path) -> Path:
    """Where Python finds the next version."""
    package = tmp_path / "following" / "moorage"
    shutil.copytree(Path(moorage.__file__).parent, package)
    (package / "db" / "migrations" / "9999_additive.sql").write_text(ADDITIVE)
    return package.parent


def upgrade(replica: Replica, following: Path) -> None:
    """Restart one replica as the next version."""
    assert replica.process is not None
    if replica.process.poll() is None:
        assert replica.stop() == 0
    replica.environment = {"PYTHONPATH": str(following)}
    replica.start()


def test_restarted_one_after_the_other(cluster: Cluster) -> None:
    """SIGTERM and a new start of every replica: at most a retry of a lost connection."""
    with working(cluster) as work:
        for replica in cluster.replicas:
            let_work(work, 4)
            assert replica.stop() == 0
            let_work(work, 2)
            replica.start()


def test_upgraded_one_after_the_other(cluster: Cluster, following: Path) -> None:
    """Old replicas go on beside new ones, and one that is killed in the middle comes back."""
    first, second, third = cluster.replicas
    with working(cluster) as work:
        let_work(work, 4)
        upgrade(first, following)
        let_work(work, 4)
        second.kill()
        let_work(work, 2)
        second.start()
        assert MIGRATED in second.log
        let_work(work, 4)
        for url in cluster.urls:
            with Wire(url) as wire:
                assert tags_of(wire.get("/v2/rolling/client-0/tags/list")) == ["latest"]
        for replica in (second, third):
            upgrade(replica, following)
            let_work(work, 4)


def test_taken_back(cluster: Cluster, following: Path) -> None:
    """After an upgrade of all replicas, all of them go back to the version before."""
    with working(cluster) as work:
        for replica in cluster.replicas:
            upgrade(replica, following)
        let_work(work, 4)
        for replica in cluster.replicas:
            assert replica.stop() == 0
            replica.environment = {}
            replica.start()
            let_work(work, 2)


def test_what_works_with_nothing_older_is_refused(cluster: Cluster, following: Path) -> None:
    """Behind a migration that says nothing, an old replica that ends does not return."""
    (following / "moorage" / "db" / "migrations" / "9999_additive.sql").write_text(
        ADDITIVE.removeprefix(STATEMENT)
    )
    first, second, _ = cluster.replicas
    upgrade(first, following)
    second.kill()

    with pytest.raises(RuntimeError, match="run the newer Moorage that wrote it"):
        second.start()
