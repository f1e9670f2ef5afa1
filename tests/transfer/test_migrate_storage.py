# SPDX-License-Identifier: Apache-2.0
"""Moving from one store to another while clients push and pull, killed and resumed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.images import push_blob, random_blob
from tests.support.wire import Wire
from tests.transfer.moving_registry import REPOSITORY, Crowd, MovingRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.object_servers import ObjectServer
    from tests.transfer.moving_registry import Store

IMAGES = 12


@pytest.fixture
def store_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, str], Store]:
    """A new store of a kind; the test is skipped where there is no server for it."""

    def make(kind: str, name: str) -> Store:
        if kind == "filesystem":
            return {"filesystem": {"rootdirectory": str(tmp_path / name)}}
        server: ObjectServer = request.getfixturevalue(f"{kind}_server")
        return dict(server.settings())

    return make


@pytest.fixture
def folders(tmp_path: Path, store_of: Callable[[str, str], Store]) -> MovingRegistry:
    """A registry with something in a folder, about to move to another; it is not running."""
    registry = MovingRegistry(
        tmp_path, store_of("filesystem", "old"), store_of("filesystem", "new")
    )
    registry.fill(2)
    registry.configure(registry.new, registry.old)
    return registry


@pytest.mark.parametrize(
    ("old", "new"),
    [("filesystem", "filesystem"), ("filesystem", "s3"), ("s3", "s3"), ("s3", "filesystem")],
)
def test_nothing_fails_while_blobs_are_moved(
    tmp_path: Path, store_of: Callable[[str, str], Store], old: str, new: str
) -> None:
    """Pushes and pulls go on during a move, which is killed and resumed; every digest stays."""
    registry = MovingRegistry(tmp_path, store_of(old, "old"), store_of(new, "new"))
    registry.fill(IMAGES)
    before = set(registry.keys().values())
    registry.configure(registry.new, registry.old)

    with registry.running, Wire(registry.url) as wire:
        with Crowd(registry) as crowd:
            moved = registry.migrate_and_kill(after=3)
            outcome = registry.commands.run("migrate", "storage", old, new)
            assert outcome.code == 0, outcome
        assert crowd.pushed
        assert crowd.pulled
        assert f"moved {len(before) - moved} blobs" in outcome.text
        assert not before & set(registry.keys().values())
        registry.shelf.pull_all(wire)
        check = registry.commands.run("check")
        assert check.code == 0, check
    if old == "filesystem":
        for name in ("blobs", "uploads", "records"):
            shutil.rmtree(tmp_path / "old" / name, ignore_errors=True)
    registry.configure(registry.new)
    with registry.running, Wire(registry.url) as wire:
        registry.shelf.pull_all(wire)
    check = registry.commands.run("check")
    assert check.code == 0, check


def test_moving_again_does_nothing(folders: MovingRegistry) -> None:
    """A second move finds everything in the new store; the old files stay where they are."""
    count = len(folders.keys())
    dry = folders.commands.run("migrate", "storage", *folders.kinds, "--dry-run")
    assert dry.code == 0, dry
    assert f"would move {count} blobs" in dry.text
    old = folders.keys()
    assert folders.commands.run("migrate", "storage", *folders.kinds).code == 0
    new = folders.keys()

    again = folders.commands.run("migrate", "storage", *folders.kinds)

    assert again.code == 0
    assert f"in the new store before: {count} blobs" in again.text
    assert "remove storage.previous" in again.text
    assert folders.keys() == new
    assert not set(new.values()) & set(old.values())
    assert all((root_of(folders.old) / "blobs" / key).exists() for key in old.values())


def test_deleting_waits_for_the_readers(folders: MovingRegistry) -> None:
    """With --delete the old keys become garbage of tomorrow, and the files are there today."""
    old = folders.keys()
    outcome = folders.commands.run("migrate", "storage", *folders.kinds, "--delete")

    assert outcome.code == 0, outcome
    assert "keep storage.previous" in outcome.text
    with closing(sqlite3.connect(folders.database)) as database:
        garbage = {key for (key,) in database.execute("SELECT key FROM garbage")}
        assert garbage == set(old.values())
        database.execute("UPDATE garbage SET not_before = 0")
        database.commit()
    blobs = root_of(folders.old) / "blobs"
    assert all((blobs / key).exists() for key in old.values())
    with folders.running, Wire(folders.url) as wire:
        while any((blobs / key).exists() for key in old.values()):
            folders.shelf.pull_all(wire)


def test_records_move_too(folders: MovingRegistry) -> None:
    """What a lost database is rebuilt from is in the new store when the move has ended."""
    old, new = (root_of(store) / "records" for store in (folders.old, folders.new))
    names = {path.relative_to(old) for path in old.rglob("*") if path.is_file()}
    assert names
    assert folders.commands.run("migrate", "storage", *folders.kinds).code == 0

    for name in names:
        assert (new / name).read_bytes() == (old / name).read_bytes()


def test_a_damaged_blob_is_named_and_stays(folders: MovingRegistry) -> None:
    """A blob that does not hash to its digest, or is missing, is left; everything else moves."""
    keys = folders.keys()
    damaged, lost, *others = keys
    blobs = root_of(folders.old) / "blobs"
    (blobs / keys[damaged]).write_bytes(b"something else")
    (blobs / keys[lost]).unlink()

    outcome = folders.commands.run("migrate", "storage", *folders.kinds)

    assert outcome.code == 1
    assert f"left behind: {damaged}: it is damaged" in outcome.text
    assert f"left behind: {lost}: {keys[lost]} is in neither store" in outcome.text
    assert f"moved {len(others)} blobs" in outcome.text
    assert "left behind: 2" in outcome.text
    now = folders.keys()
    assert (now[damaged], now[lost]) == (keys[damaged], keys[lost])
    assert not {now[digest] for digest in others} & set(keys.values())
    left = [path for path in (root_of(folders.new) / "blobs").rglob("*") if path.is_file()]
    assert len(left) == len(others)


def test_uploads_begun_before_are_begun_again(folders: MovingRegistry) -> None:
    """A session of the old store is unknown, which every client takes as a reason to push anew."""
    folders.configure(folders.old)
    with folders.running, Wire(folders.url) as wire:
        location = wire.post(f"/v2/{REPOSITORY}/blobs/uploads/").location
        answer = wire.patch(location, ("Content-Type", "application/octet-stream"), body=b"half")
        location = answer.location
    folders.configure(folders.new, folders.old)
    with folders.running, Wire(folders.url) as wire:
        answer = wire.patch(location, ("Content-Type", "application/octet-stream"), body=b"rest")
        assert answer.status == 404
        assert answer.error_codes() == ["BLOB_UPLOAD_UNKNOWN"]
        push_blob(wire, REPOSITORY, random_blob())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("filesystem", "s3"), "moves from filesystem (storage.previous) to filesystem"),
        (("filesystem", "filesystem", "--rate", "fast"), "--rate fast"),
    ],
)
def test_the_wrong_way_is_refused(
    folders: MovingRegistry, arguments: tuple[str, ...], reason: str
) -> None:
    """The command goes where the configuration leads and nowhere else."""
    outcome = folders.commands.run("migrate", "storage", *arguments)

    assert outcome.code == 2
    assert reason in outcome.errors


def test_without_a_previous_store_there_is_no_move(folders: MovingRegistry) -> None:
    """A configuration with one store is told what it lacks."""
    folders.configure(folders.new)
    outcome = folders.commands.run("migrate", "storage", *folders.kinds)

    assert outcome.code == 2
    assert "no storage.previous" in outcome.errors


def root_of(store: Store) -> Path:
    """The folder of a store of files."""
    section = store["filesystem"]
    assert isinstance(section, dict)
    return Path(section["rootdirectory"])
