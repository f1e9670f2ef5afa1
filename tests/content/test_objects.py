# SPDX-License-Identifier: Apache-2.0
"""What happens to objects behind the serving: blobs joined, garbage swept, clients redirected."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from moorage.content.changes import Actor
from moorage.content.garbage import READERS_GRACE
from moorage.content.joining import DamagedBlob
from moorage.content.rules import ManifestRules
from moorage.content.service import build_content
from moorage.content.uploads import Chunk, UploadConflict
from moorage.db.sqlite import SQLiteDatabase
from moorage.events.log import EventLog
from moorage.spec.digests import Digest
from moorage.spec.errors import BlobUploadUnknown
from moorage.spec.names import RepositoryName
from tests.support.asgi import InProcess, registry_app
from tests.support.extents import ExtentMemory
from tests.support.images import blob_path, with_digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from moorage.content.service import Content
    from moorage.db.protocol import Transaction

REPOSITORY = RepositoryName("a")
SOMEBODY = Actor("somebody")
PARTS = (b"first part, ", b"second part, ", b"third part")
WHOLE = b"".join(PARTS)
DIGEST = Digest.of(WHOLE)
UPLOADS = "/v2/a/blobs/uploads/"


class Registry:
    """The content over a store of objects in memory, and what its catalogue says."""

    def __init__(self, folder: Path, store: ExtentMemory | None = None) -> None:
        self.store = store or ExtentMemory()
        self.database = SQLiteDatabase(folder / "moorage.db")
        self.content: Content = build_content(
            self.database, self.store, EventLog(), boot="", rules=ManifestRules()
        )

    async def push_in_parts(self) -> None:
        """Push WHOLE in as many requests as it has parts."""
        uploads = self.content.uploads
        session = (await uploads.start(REPOSITORY, SOMEBODY, "sha256")).session
        for part in PARTS:
            await uploads.append(REPOSITORY, session, Chunk(body(part)))
        await uploads.finish(REPOSITORY, session, DIGEST, Chunk(body()), SOMEBODY)

    async def keys(self, table: str) -> list[str]:
        """The keys in one of the tables."""
        return [key for (key,) in await self.database.fetch_all(f"SELECT key FROM {table}")]

    async def let_readers_finish(self) -> None:
        """A day passes."""

        async def age(transaction: Transaction) -> None:
            await transaction.execute(
                "UPDATE garbage SET not_before = not_before - $1", READERS_GRACE
            )

        await self.database.transaction(age)


@asynccontextmanager
async def registry_in(folder: Path, store: ExtentMemory | None = None) -> AsyncIterator[Registry]:
    """A registry whose catalogue is in the folder."""
    registry = Registry(folder, store)
    await registry.database.start()
    try:
        yield registry
    finally:
        await registry.database.close()


async def body(*parts: bytes) -> AsyncIterator[bytes]:
    """A request's body."""
    for part in parts:
        yield part


def test_a_blob_of_several_extents_is_joined(tmp_path: Path) -> None:
    """Joining leaves one object with the same bytes; the old ones go when readers are done."""

    async def scenario() -> None:
        async with registry_in(tmp_path) as registry:
            await registry.push_in_parts()
            assert len(await registry.keys("extents")) == len(PARTS)
            joining = registry.content.joining

            assert await joining.next_split("") == DIGEST
            assert await joining.join(DIGEST)

            (key,) = await registry.keys("extents")
            assert registry.store.by_key[key] == WHOLE
            assert await joining.next_split("") is None
            assert await registry.content.garbage.sweep() == 0, "somebody may be reading them"
            await registry.let_readers_finish()
            assert await registry.content.garbage.sweep() == len(PARTS)
            assert set(registry.store.by_key) == {key}

    asyncio.run(scenario())


def test_damaged_extents_are_not_joined(tmp_path: Path) -> None:
    """Bytes that do not hash to the digest stay where they are, and the copy is gone."""

    async def scenario() -> None:
        async with registry_in(tmp_path) as registry:
            await registry.push_in_parts()
            before = await registry.keys("extents")
            registry.store.by_key[before[1]] = b"damaged part"

            with pytest.raises(DamagedBlob, match=f"{DIGEST} hash to sha256:"):
                await registry.content.joining.join(DIGEST)

            assert await registry.keys("extents") == before
            assert set(registry.store.by_key) == set(before)

    asyncio.run(scenario())


def test_of_two_that_finish_an_upload_one_wins(tmp_path: Path) -> None:
    """Two closing requests with different ends: one blob, and nothing of the other is left."""

    async def scenario() -> None:
        async with registry_in(tmp_path) as registry:
            uploads = registry.content.uploads
            session = (await uploads.start(REPOSITORY, SOMEBODY, "sha256")).session
            await uploads.append(REPOSITORY, session, Chunk(body(b"common ")))

            outcomes = await asyncio.gather(
                *(
                    uploads.finish(
                        REPOSITORY, session, Digest.of(b"common " + end), Chunk(body(end)), SOMEBODY
                    )
                    for end in (b"end", b"other end")
                ),
                return_exceptions=True,
            )

            lost = [outcome for outcome in outcomes if outcome is not None]
            assert len(lost) == 1
            assert isinstance(lost[0], BlobUploadUnknown | UploadConflict)
            await registry.content.garbage.sweep()
            kept = set(registry.store.by_key)
            assert kept == set(await registry.keys("extents"))

    asyncio.run(scenario())


def test_the_same_blob_twice_is_stored_once(tmp_path: Path) -> None:
    """The second copy of a blob is swept."""

    async def scenario() -> None:
        async with registry_in(tmp_path) as registry:
            for _ in range(2):
                await registry.content.uploads.push(
                    REPOSITORY, DIGEST, Chunk(body(WHOLE)), SOMEBODY
                )
            assert await registry.content.garbage.sweep() == 1
            assert set(registry.store.by_key) == set(await registry.keys("extents"))

    asyncio.run(scenario())


class SigningMemory(ExtentMemory):
    """Objects that clients may fetch themselves."""

    async def signed_url(self, key: str) -> str | None:
        """Where."""
        return f"https://objects.example/{key}?signature=x"


def test_clients_are_sent_to_the_store(tmp_path: Path) -> None:
    """A GET of a blob is redirected; HEAD and conditional requests are answered here."""
    store = SigningMemory()
    with InProcess(registry_app(tmp_path, store=store)) as client:
        client.request("POST", with_digest(UPLOADS, DIGEST), body=WHOLE)
        (key,) = store.by_key
        path = blob_path("a", DIGEST)

        answer = client.request("GET", path, ("Range", "bytes=0-3"))
        assert answer.status == 307
        assert answer.location == f"https://objects.example/{key}?signature=x"
        assert answer.headers["Cache-Control"] == "no-store"

        assert client.request("HEAD", path).status == 200
        assert client.request("GET", path, ("If-None-Match", f'"{DIGEST}"')).status == 304


def test_a_blob_in_pieces_is_not_redirected(tmp_path: Path) -> None:
    """No single URL would serve it: it comes from here, ranges across the seams included."""
    with InProcess(registry_app(tmp_path, store=SigningMemory())) as client:
        location = client.request("POST", UPLOADS).location
        for part in PARTS:
            assert client.request("PATCH", location, body=part).status == 202
        assert client.request("PUT", with_digest(location, DIGEST)).status == 201

        assert client.request("GET", blob_path("a", DIGEST)).body == WHOLE
        answer = client.request("GET", blob_path("a", DIGEST), ("Range", "bytes=5-30"))
        assert (answer.status, answer.body) == (206, WHOLE[5:31])


def test_a_lost_object_is_said_before_the_reply_begins(tmp_path: Path) -> None:
    """A blob whose object is gone is an error with a body, not a reply that breaks off."""
    store = ExtentMemory()
    with InProcess(registry_app(tmp_path, store=store)) as client:
        client.request("POST", with_digest(UPLOADS, DIGEST), body=WHOLE)
        store.by_key.clear()
        answer = client.request("GET", blob_path("a", DIGEST))
        assert answer.status == 500
        assert answer.error_codes() == ["UNKNOWN"]
