# SPDX-License-Identifier: Apache-2.0
"""Upload sessions where requests, purges and other processes come between each other."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from moorage.content.changes import Actor, now
from moorage.content.rules import ManifestRules
from moorage.content.service import build_content
from moorage.content.uploads import Chunk
from moorage.events.log import EventLog
from moorage.spec.digests import Digest
from moorage.spec.errors import BlobUploadUnknown
from moorage.spec.names import RepositoryName
from moorage.storage.filesystem import FilesystemStore
from tests.support.asgi import InProcess, registry_app
from tests.support.images import blob_path, digest_of, random_blob, with_digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path
    from typing import Any

    from moorage.content.uploads import Uploads
    from tests.support.engines import Engine

REPOSITORY = RepositoryName("a")
UPLOADS = "/v2/a/blobs/uploads/"
LATER = 1_000_000


async def body(*parts: bytes) -> AsyncIterator[bytes]:
    """A request's body."""
    for part in parts:
        yield part


def with_uploads(
    engine: Engine,
    folder: Path,
    store: FilesystemStore,
    scenario: Callable[[Uploads], Awaitable[None]],
) -> None:
    """Run a scenario on upload sessions over this store."""

    async def run() -> None:
        database = engine.database(folder)
        await store.start()
        await database.start()
        content = build_content(database, store, EventLog(), boot="boot", rules=ManifestRules())
        try:
            await scenario(content.uploads)
        finally:
            await database.close()

    asyncio.run(run())


class ReturningClient(FilesystemStore):
    """A store at whose door a client comes back just before a purge gets hold of its session."""

    def __init__(self, root: Path, engine: Engine) -> None:
        super().__init__(root)
        self._data = root
        self._engine = engine
        self.returns = False

    @contextmanager
    def append(self, session: str) -> Iterator[Any]:
        """Another process has just recorded a chunk."""
        if self.returns:
            later = now() + 10 * LATER
            update = f"UPDATE uploads SET touched_at = {later} RETURNING session"
            self._engine.column(self._data, update)
        with super().append(session) as file:
            yield file


def test_a_client_that_comes_back_in_time_keeps_its_upload(tmp_path: Path, engine: Engine) -> None:
    """A purge that finds a session touched once it has it lets go of it again."""
    store = ReturningClient(tmp_path, engine)

    async def scenario(uploads: Uploads) -> None:
        upload = await uploads.start(REPOSITORY, Actor(), "sha256")
        await uploads.append(REPOSITORY, upload.session, Chunk(body(b"abc")))
        store.returns = True

        assert await uploads.purge(now() + LATER) == 0
        assert (await uploads.status(REPOSITORY, upload.session)).received == 3

    with_uploads(engine, tmp_path, store, scenario)


def test_a_dry_purge_only_counts(tmp_path: Path, engine: Engine) -> None:
    """What would be removed is counted and stays."""

    async def scenario(uploads: Uploads) -> None:
        upload = await uploads.start(REPOSITORY, Actor(), "sha256")
        await uploads.append(REPOSITORY, upload.session, Chunk(body(b"abc")))

        assert await uploads.purge(now() + LATER, dry_run=True) == 1
        assert (await uploads.status(REPOSITORY, upload.session)).received == 3
        assert await uploads.purge(now() + LATER) == 1
        with pytest.raises(BlobUploadUnknown):
            await uploads.status(REPOSITORY, upload.session)

    with_uploads(engine, tmp_path, FilesystemStore(tmp_path), scenario)


def test_an_upload_that_lost_its_bytes_says_so(tmp_path: Path, engine: Engine) -> None:
    """A session whose file is shorter than recorded is gone, and nobody is told otherwise."""
    store = FilesystemStore(tmp_path)

    async def scenario(uploads: Uploads) -> None:
        upload = await uploads.start(REPOSITORY, Actor(), "sha256")
        await uploads.append(REPOSITORY, upload.session, Chunk(body(b"abc")))
        await store.publish(upload.session, Digest.of(b"abc"), 3)

        with pytest.raises(BlobUploadUnknown):
            await uploads.status(REPOSITORY, upload.session)
        with pytest.raises(BlobUploadUnknown):
            await uploads.append(REPOSITORY, upload.session, Chunk(body(b"def")))

    with_uploads(engine, tmp_path, store, scenario)


def test_another_boots_bytes_are_not_trusted(tmp_path: Path, engine: Engine) -> None:
    """After the machine has gone down an upload starts anew: its bytes were never synced."""
    sessions = []

    async def begin(uploads: Uploads) -> None:
        upload = await uploads.start(REPOSITORY, Actor(), "sha256")
        await uploads.append(REPOSITORY, upload.session, Chunk(body(b"abc")))
        sessions.append(upload.session)

    async def after_the_reboot(uploads: Uploads) -> None:
        with pytest.raises(BlobUploadUnknown):
            await uploads.status(REPOSITORY, sessions[0])
        assert await uploads.purge(now() + LATER) == 1

    with_uploads(engine, tmp_path, FilesystemStore(tmp_path), begin)
    engine.column(tmp_path, "UPDATE uploads SET boot = 'the boot before' RETURNING session")
    with_uploads(engine, tmp_path, FilesystemStore(tmp_path), after_the_reboot)
    assert not list((tmp_path / "uploads").iterdir())


@contextmanager
def client(engine: Engine, folder: Path) -> Iterator[InProcess]:
    """The whole registry in process."""
    with InProcess(registry_app(folder, engine.config)) as started:
        yield started


def test_a_cancelled_upload_never_becomes_a_blob(tmp_path: Path, engine: Engine) -> None:
    """A closing PUT whose session is cancelled under it is refused, and nothing is readable."""
    blob = random_blob(1000)
    with client(engine, tmp_path) as registry:
        location = registry.request("POST", UPLOADS).location
        closing_put = registry.begin("PUT", with_digest(location, blob.digest))
        closing_put.send(blob.payload[:500])
        assert registry.request("DELETE", location).status == 204

        answer = closing_put.finish(blob.payload[500:])

        assert answer.status == 404, answer
        assert registry.request("GET", blob_path("a", blob.digest)).status == 404
        elsewhere = registry.request("POST", f"/v2/b/blobs/uploads/?mount={blob.digest}")
        assert elsewhere.status == 202
    assert not [path for path in (tmp_path / "data" / "blobs").glob("*/*/*") if path.is_file()]


def test_a_second_writer_is_sent_to_where_the_upload_is(tmp_path: Path, engine: Engine) -> None:
    """While one request writes, others are told the recorded state and change nothing."""
    with client(engine, tmp_path) as registry:
        location = registry.request("POST", UPLOADS).location
        registry.request("PATCH", location, body=b"abc")
        writing = registry.begin("PATCH", location)
        writing.send(b"de")

        for method, target in (("PATCH", location), ("PUT", with_digest(location, digest_of(b"")))):
            answer = registry.request(method, target, body=b"xyz")
            assert answer.status == 416, answer
            assert answer.headers["Range"] == "0-2"
            assert answer.location == location
        assert registry.request("GET", location).headers["Range"] == "0-2"

        assert writing.finish(b"f").headers["Range"] == "0-5"
        whole = with_digest(location, digest_of(b"abcdef"))
        assert registry.request("PUT", whole).status == 201


def test_the_same_content_from_two_sides_at_once(tmp_path: Path, engine: Engine) -> None:
    """Both pushes succeed, and one copy is kept."""
    blob = random_blob(1000)
    with client(engine, tmp_path) as registry:
        pushes = []
        for repository in ("a", "b"):
            target = with_digest(f"/v2/{repository}/blobs/uploads/", blob.digest)
            push = registry.begin("POST", target)
            push.send(blob.payload[:500])
            pushes.append(push)

        assert [push.finish(blob.payload[500:]).status for push in pushes] == [201, 201]
        for repository in ("a", "b"):
            answer = registry.request("GET", blob_path(repository, blob.digest))
            assert answer.body == blob.payload
    assert len(list((tmp_path / "data" / "blobs").glob("sha256/*/*"))) == 1
    assert not list((tmp_path / "data" / "uploads").iterdir())


def test_what_was_refused_is_not_in_the_way_of_the_end(tmp_path: Path, engine: Engine) -> None:
    """After a chunk that was too long an empty closing request still finds exactly the rest."""
    with InProcess(registry_app(tmp_path, engine.config)) as client:
        location = client.request("POST", "/v2/a/blobs/uploads/").location
        assert client.request("PATCH", location, body=b"kept").status == 202
        too_long = client.begin("PATCH", location, ("Content-Range", "4-5"))
        too_long.send(b"x")
        assert too_long.finish(b"yz").status == 400

        digest = digest_of(b"kept")
        assert client.request("PUT", with_digest(location, digest)).status == 201
        assert client.request("GET", blob_path("a", digest)).body == b"kept"
