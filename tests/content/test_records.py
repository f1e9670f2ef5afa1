# SPDX-License-Identifier: Apache-2.0
"""Manifests have records: before a push is acknowledged, never after it was refused or deleted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest

from moorage.content.changes import Actor
from moorage.content.manifests import ManifestPush
from moorage.content.records import FOLDER, ManifestRecord, RecordName
from moorage.content.rules import ManifestRules
from moorage.content.service import Content, build_content
from moorage.db.sqlite import SQLiteDatabase
from moorage.events.log import EventLog
from moorage.spec.digests import Digest
from moorage.spec.errors import (
    InsufficientStorage,
    ManifestBlobUnknown,
    ManifestUnknown,
    OCIError,
    Unavailable,
)
from moorage.spec.names import parse_repository, parse_tag
from moorage.storage.memory import MemoryStore
from tests.support.images import OCI_INDEX, OCI_MANIFEST, index, random_image

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")

REPOSITORY = parse_repository("team/app")
ACTOR = Actor("alice")
INDEX = index([]).payload
DIGEST = Digest.of(INDEX)


class FailingStore(MemoryStore):
    """A store that can be told to refuse records."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: OCIError | None = None
        self.requests = 0

    async def put_record(self, name: str, content: bytes, *, durable: bool = False) -> None:
        """Keep it, or refuse."""
        self.requests += 1
        if self.refusal is not None:
            raise self.refusal
        await super().put_record(name, content, durable=durable)

    async def delete_record(self, name: str) -> None:
        """Forget it, or refuse."""
        self.requests += 1
        if self.refusal is not None:
            raise self.refusal
        await super().delete_record(name)

    async def names(self) -> list[RecordName]:
        """Which manifests have records."""
        parsed = [RecordName.parse(name) async for name in self.records(FOLDER)]
        return [name for name in parsed if name is not None]


def run(folder: Path, scenario: Callable[[Content, FailingStore], Awaitable[T]]) -> T:
    """Run the scenario over a new database and store."""

    async def started() -> T:
        database, store = SQLiteDatabase(folder / "moorage.db"), FailingStore()
        await database.start()
        try:
            content = build_content(database, store, EventLog(), boot="", rules=ManifestRules())
            return await scenario(content, store)
        finally:
            await database.close()

    return asyncio.run(started())


def push(payload: bytes = INDEX, media_type: str = OCI_INDEX, *tags: str) -> ManifestPush:
    """A push of an index without children, unless said otherwise."""
    return ManifestPush(payload, media_type, None, [parse_tag(tag) for tag in tags])


def test_a_record_tells_everything(tmp_path: Path) -> None:
    """Payload, repository, media type, time and pusher are in the record, to the byte."""

    async def scenario(content: Content, store: FailingStore) -> ManifestRecord:
        await content.manifests.push(REPOSITORY, push(INDEX, OCI_INDEX, "v1"), ACTOR)
        (name,) = await store.names()
        return ManifestRecord.parse(name, await store.get_record(str(name)))

    record = run(tmp_path, scenario)
    assert (record.name.repository, record.name.digest) == (REPOSITORY, DIGEST)
    assert (record.media_type, record.pushed_by, record.payload) == (OCI_INDEX, "alice", INDEX)
    assert record.name.pushed_at > 0


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    """A push of the same manifest, or another tag for it, asks nothing of the store."""

    async def scenario(content: Content, store: FailingStore) -> tuple[int, int]:
        await content.manifests.push(REPOSITORY, push(), ACTOR)
        first = store.requests
        await content.manifests.push(REPOSITORY, push(INDEX, OCI_INDEX, "v2"), ACTOR)
        return first, store.requests

    assert run(tmp_path, scenario) == (1, 1)


def test_two_pushes_at_once_leave_one_record(tmp_path: Path) -> None:
    """Of several pushes of one manifest at the same time one has made it, and its record stays."""

    async def scenario(content: Content, store: FailingStore) -> list[RecordName]:
        pushes = (content.manifests.push(REPOSITORY, push(), ACTOR) for _ in range(5))
        await asyncio.gather(*pushes)
        return await store.names()

    assert [name.digest for name in run(tmp_path, scenario)] == [DIGEST]


def test_a_deleted_manifest_has_no_record(tmp_path: Path) -> None:
    """A delete takes the record along; a later push of the same manifest writes another."""

    async def scenario(content: Content, store: FailingStore) -> list[int]:
        counts = []
        for _ in range(2):
            await content.manifests.push(REPOSITORY, push(), ACTOR)
            counts.append(len(await store.names()))
            await content.manifests.delete(REPOSITORY, DIGEST, ACTOR)
            counts.append(len(await store.names()))
        return counts

    assert run(tmp_path, scenario) == [1, 0, 1, 0]


def test_a_delete_succeeds_although_the_record_stays(tmp_path: Path) -> None:
    """A store that is down keeps nobody from deleting."""

    async def scenario(content: Content, store: FailingStore) -> None:
        await content.manifests.push(REPOSITORY, push(), ACTOR)
        store.refusal = Unavailable()
        await content.manifests.delete(REPOSITORY, DIGEST, ACTOR)
        with pytest.raises(ManifestUnknown):
            await content.manifests.get(REPOSITORY, DIGEST)

    run(tmp_path, scenario)


def test_a_refused_push_leaves_no_record(tmp_path: Path) -> None:
    """A manifest whose blobs are not there leaves nothing in the store."""
    manifest = random_image().manifest.payload

    async def scenario(content: Content, store: FailingStore) -> list[RecordName]:
        with pytest.raises(ManifestBlobUnknown):
            await content.manifests.push(REPOSITORY, push(manifest, OCI_MANIFEST), ACTOR)
        return await store.names()

    assert run(tmp_path, scenario) == []


@pytest.mark.parametrize("refusal", [InsufficientStorage(), Unavailable()])
def test_without_a_record_nothing_is_pushed(tmp_path: Path, refusal: OCIError) -> None:
    """When the store refuses the record, the client hears why and nothing was changed."""

    async def scenario(content: Content, store: FailingStore) -> bool:
        store.refusal = refusal
        with pytest.raises(type(refusal)):
            await content.manifests.push(REPOSITORY, push(INDEX, OCI_INDEX, "v1"), ACTOR)
        return await content.repositories.exists(REPOSITORY)

    assert not run(tmp_path, scenario)


@pytest.mark.parametrize(
    "name",
    [
        "manifests/a/sha256/00.1",
        "manifests/_sha256/00.1",
        "manifests/a/_sha256/00",
        "other/a/_sha256/00.1",
    ],
)
def test_names_of_others_are_not_ours(name: str) -> None:
    """What has not the form of a record's name is none."""
    assert RecordName.parse(name) is None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]\n", b'{"format":2}\n', b'{"format":1}\n', b"no json\n{}"]
)
def test_damaged_records_say_so(content: bytes) -> None:
    """What is no record of this manifest is refused with a reason."""
    with pytest.raises(ValueError, match=r"."):
        ManifestRecord.parse(RecordName(REPOSITORY, DIGEST, 1), content)


def test_another_payload_is_damage() -> None:
    """A record whose payload hashes to something else is refused."""
    record = ManifestRecord(RecordName(REPOSITORY, DIGEST, 1), OCI_INDEX, "alice", INDEX)

    assert ManifestRecord.parse(record.name, record.content()) == record
    with pytest.raises(ValueError, match="does not hash"):
        ManifestRecord.parse(record.name, record.content() + b" ")
