# SPDX-License-Identifier: Apache-2.0
"""A lost database is put together again: tags as the snapshot has them, everything by digest."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from moorage.content.changes import Actor
from moorage.db.sqlite import SQLiteDatabase
from moorage.events.log import EventLog
from moorage.lifecycle.choosing_snapshot import choose_snapshot
from moorage.lifecycle.opening import opened
from moorage.lifecycle.rebuilding import Rebuild, RebuildReport
from moorage.lifecycle.snapshots import SignatureKey, snapshot_times
from moorage.observe.progress import SilentProgress
from moorage.spec.errors import Unavailable
from moorage.storage.filesystem import FilesystemStore
from tests.support.commands import Commands
from tests.support.images import (
    Content,
    Image,
    artifact,
    push_blob,
    push_image,
    random_image,
)
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

SNAPSHOTS = {"storage": {"snapshot": {"interval": "1s"}}}
SECONDS = 30.0


def snapshots(registry: RunningRegistry) -> list[int]:
    """When this registry's snapshots were taken, newest first."""
    return asyncio.run(snapshot_times(FilesystemStore(registry.root)))[0]


def wait_for_snapshot(registry: RunningRegistry) -> None:
    """Return once a snapshot was taken that began after this call."""
    before = time.time_ns() // 1000
    deadline = time.monotonic() + SECONDS
    while not any(taken > before for taken in snapshots(registry)):
        assert time.monotonic() < deadline, registry.log
        time.sleep(0.1)


def lose_database(registry: RunningRegistry) -> None:
    """What a broken disk does to a database."""
    for file in registry.root.glob("moorage.db*"):
        file.unlink()


def is_whole(wire: Wire, name: str, reference: str, image: Image) -> bool:
    """Whether the image is pulled as it was pushed."""
    manifest = wire.get(f"/v2/{name}/manifests/{reference}", ("Accept", "*/*"))
    return manifest.body == image.manifest.payload and all(
        wire.get(f"/v2/{name}/blobs/{blob.digest}").body == blob.payload for blob in image.blobs
    )


class Story:
    """A registry with a snapshot, something pushed and deleted since, and no database any more."""

    def __init__(self, folder: Path) -> None:
        self.registry = RunningRegistry(folder, SNAPSHOTS)
        self.before, self.moved, self.after, self.gone = (random_image(layers=2) for _ in range(4))
        self.alone = Content(b"a blob that no manifest names")
        with self.registry, Wire(f"http://{self.registry.host}") as wire:
            push_image(wire, "team/app", self.moved, "1.0")
            push_image(wire, "team/app", self.before, "1.0")
            push_image(wire, "team/app", self.gone, "gone")
            push_blob(wire, "team", self.alone)
            self.signature = self._sign(wire)
            wire.delete(f"/v2/team/app/manifests/{self.gone.manifest.digest}")
            wait_for_snapshot(self.registry)
            self.registry.kill()
        self.registry.config = {"storage": {"snapshot": {"enabled": False}}}
        with self.registry, Wire(f"http://{self.registry.host}") as wire:
            push_image(wire, "late", self.after, "2.0")
        lose_database(self.registry)

    def _sign(self, wire: Wire) -> Content:
        """Push something that refers to an image."""
        signature = artifact("application/x.signature", subject=self.before.manifest)
        push_image(wire, "team/app", signature)
        return signature.manifest

    @property
    def commands(self) -> Commands:
        """The commands for this registry."""
        return Commands.of(self.registry)

    def check(self, wire: Wire) -> None:
        """Insist that everything is there that can be."""
        assert is_whole(wire, "team/app", "1.0", self.before)
        assert is_whole(wire, "team/app", self.moved.manifest.digest, self.moved)
        assert is_whole(wire, "late", self.after.manifest.digest, self.after)
        assert wire.get(f"/v2/team/blobs/{self.alone.digest}").body == self.alone.payload
        assert wire.get("/v2/late/manifests/2.0").status == 404
        gone = self.gone.manifest.digest
        assert wire.get(f"/v2/team/app/manifests/{gone}").status == 404
        subject = self.before.manifest.digest
        listed = wire.get(f"/v2/team/app/referrers/{subject}")
        assert self.signature.digest.encode() in listed.body
        assert wire.get("/v2/team/app/tags/list").json() == {"name": "team/app", "tags": ["1.0"]}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One story for all tests; each has a copy of its data."""
    return Story(tmp_path_factory.mktemp("story") / "registry")


@pytest.fixture
def story(told: Story, tmp_path: Path) -> Story:
    """A copy of the story that a test may change."""
    copy = Story.__new__(Story)
    copy.__dict__.update(told.__dict__)
    copy.registry = RunningRegistry(tmp_path / "registry", told.registry.config)
    shutil.copytree(told.registry.folder, copy.registry.folder)
    return copy


def newest_head(story: Story) -> Path:
    """The file with the head of the newest snapshot."""
    return (
        story.registry.root
        / "records"
        / "snapshots"
        / f"{snapshots(story.registry)[0]:016d}"
        / "head"
    )


def test_everything_is_pulled_again(story: Story) -> None:
    """By tag what was pushed before the snapshot, by digest everything; the deleted stays away."""
    outcome = story.commands.run("rebuild", "--json")

    assert outcome.code == 0, outcome
    assert outcome.json()["missing"] == []
    assert outcome.json()["manifests"] == 4
    with story.registry, Wire(f"http://{story.registry.host}") as wire:
        story.check(wire)
    check = story.commands.run("check", "--json")
    assert check.json()["problems"] == 0, check.text


def test_the_rebuilt_registry_goes_on(story: Story) -> None:
    """After a rebuild images are pushed, deleted and written into new snapshots as before."""
    assert story.commands.run("rebuild").code == 0
    story.registry.config = SNAPSHOTS
    image = random_image()
    with story.registry, Wire(f"http://{story.registry.host}") as wire:
        push_image(wire, "team/app", image, "3.0")
        assert wire.delete(f"/v2/team/app/manifests/{story.moved.manifest.digest}").status == 202
        wait_for_snapshot(story.registry)
    lose_database(story.registry)

    assert story.commands.run("rebuild").code == 0
    with story.registry, Wire(f"http://{story.registry.host}") as wire:
        assert is_whole(wire, "team/app", "3.0", image)
        gone = story.moved.manifest.digest
        assert wire.get(f"/v2/team/app/manifests/{gone}").status == 404


def test_without_a_snapshot_everything_comes_back_but_tags(story: Story) -> None:
    """When there is no snapshot, images are pulled by digest."""
    shutil.rmtree(story.registry.root / "records" / "snapshots")

    outcome = story.commands.run("rebuild")

    assert outcome.code == 0, outcome
    with story.registry, Wire(f"http://{story.registry.host}") as wire:
        assert is_whole(wire, "team/app", story.before.manifest.digest, story.before)
        assert wire.get("/v2/team/app/tags/list").json() == {"name": "team/app", "tags": []}


def test_a_dry_run_changes_nothing(story: Story) -> None:
    """A dry run says what a rebuild would find, and makes no database."""
    outcome = story.commands.run("rebuild", "--dry-run", "--verify", "--json")

    assert outcome.code == 0, outcome
    assert outcome.json()["tags"] == 1
    assert not list(story.registry.root.glob("moorage.db*"))


def test_a_database_with_content_is_left_alone(story: Story) -> None:
    """A second rebuild refuses, says how to go on, and changes nothing."""
    assert story.commands.run("rebuild").code == 0

    outcome = story.commands.run("rebuild")

    assert outcome.code == 2
    assert "move the database away" in outcome.errors


def test_a_snapshot_that_was_tampered_with_is_refused(story: Story) -> None:
    """A tag that somebody moved in the snapshot is not believed; an older snapshot is used."""
    head = newest_head(story)
    line, signature = head.read_bytes().splitlines()
    changed = json.loads(line)
    changed["rows"]["tags"] += 1
    head.write_bytes(json.dumps(changed).encode() + b"\n" + signature + b"\n")
    only = head.parent
    for other in only.parent.iterdir():
        if other != only:
            shutil.rmtree(other)

    outcome = story.commands.run("rebuild")

    assert outcome.code == 2
    assert "its signature is not this registry's" in outcome.errors
    assert "--trust-snapshot" in outcome.errors
    assert story.commands.run("rebuild", "--trust-snapshot").code == 0


def test_a_damaged_part_makes_way_for_an_older_snapshot(story: Story) -> None:
    """When a part of the newest snapshot is damaged, the one before it is used."""
    newest = newest_head(story).parent
    older = newest.parent / f"{int(newest.name) - 1:016d}"
    shutil.rmtree(older, ignore_errors=True)
    for other in newest.parent.iterdir():
        if other != newest:
            shutil.rmtree(other)
    part = newest / "000000"
    part.write_bytes(part.read_bytes()[:-1] + b"!")

    outcome = story.commands.run("rebuild")

    assert outcome.code == 2
    assert "its part 0 is damaged" in outcome.errors
    assert story.commands.run("rebuild", "--without-snapshot").code == 0


def test_what_is_missing_is_told(story: Story) -> None:
    """A lost blob and a lost record are named, and everything else comes back."""
    layer = story.after.layers[0].digest.partition(":")[2]
    (file,) = (story.registry.root / "blobs" / "sha256").glob(f"??/{layer}.*")
    file.unlink()
    record = story.before.manifest.digest.partition(":")[2]
    (file,) = (story.registry.root / "records" / "manifests").rglob(f"{record}.*")
    file.unlink()

    outcome = story.commands.run("rebuild")

    assert outcome.code == 1
    assert layer in outcome.text
    assert "team/app:1.0 is not set" in outcome.text
    with story.registry, Wire(f"http://{story.registry.host}") as wire:
        assert is_whole(wire, "team/app", story.moved.manifest.digest, story.moved)


def test_damaged_bytes_are_found_on_demand(story: Story) -> None:
    """With --verify a blob that hashes to something else is left out and named."""
    layer = story.after.layers[0].digest.partition(":")[2]
    (file,) = (story.registry.root / "blobs" / "sha256").glob(f"??/{layer}.*")
    file.write_bytes(b"!" * file.stat().st_size)

    outcome = story.commands.run("rebuild", "--verify", "--json")

    assert outcome.code == 1
    assert "hashes to" in outcome.json()["missing"][0]


class BreakingStore(FilesystemStore):
    """A store that is cut off while records are read."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self._left = after

    async def get_record(self, name: str) -> bytes:
        """The record, a few times."""
        if name.startswith("manifests"):
            self._left -= 1
            if self._left < 0:
                raise Unavailable
        return await super().get_record(name)


@pytest.mark.parametrize("after", [0, 2])
def test_a_rebuild_that_was_cut_off_goes_on(story: Story, after: int) -> None:
    """What a broken rebuild has done stands, and the next one completes it."""

    async def rebuild() -> None:
        store = BreakingStore(story.registry.root, after)
        database = SQLiteDatabase(story.registry.root / "moorage.db")
        async with opened(database, store):
            key = SignatureKey((story.registry.root / "token.key").read_bytes())
            snapshot = await choose_snapshot(store, key, pytest.fail, trust=False)
            report = RebuildReport(pytest.fail)
            arguments = (EventLog(), Actor("test"), SilentProgress(), report)
            await Rebuild(database, store, store, *arguments).run(snapshot, verify=False)

    with pytest.raises(Unavailable):
        asyncio.run(rebuild())

    outcome = story.commands.run("rebuild", "--json")

    assert outcome.code == 0, outcome
    with story.registry, Wire(f"http://{story.registry.host}") as wire:
        story.check(wire)


def test_manifests_from_before_there_were_records_get_one(story: Story) -> None:
    """With the first snapshot, every manifest that the database has is written down."""
    assert story.commands.run("rebuild").code == 0
    records = story.registry.root / "records"
    shutil.rmtree(records)
    story.registry.config = SNAPSHOTS
    with story.registry:
        wait_for_snapshot(story.registry)
    lose_database(story.registry)

    assert story.commands.run("rebuild").code == 0
    story.registry.config = {"storage": {"snapshot": {"enabled": False}}}
    with story.registry, Wire(f"http://{story.registry.host}") as wire:
        story.check(wire)
