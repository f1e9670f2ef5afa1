# SPDX-License-Identifier: Apache-2.0
"""A registry is copied while it serves, and filled from the copy: nothing is lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from moorage.db import migrations, tables
from moorage.db.sqlite import SQLiteDatabase
from moorage.lifecycle.backup_folder import BackupFolder
from moorage.lifecycle.opening import opened
from moorage.lifecycle.pace import Pace
from moorage.lifecycle.restore import Restore, RestoreReport
from moorage.observe.progress import SilentProgress
from moorage.storage.filesystem import FilesystemStore
from tests.support.commands import PROGRAM, Commands
from tests.support.images import Content, Image, push_blob, push_image, random_image
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lifecycle.conftest import Stocked

SECONDS = 60.0
TABLES = ("repositories", "blobs", "repository_blobs", "manifests", "tags", "events")


def rows(registry: RunningRegistry, table: str) -> list[tuple[object, ...]]:
    """What a table of the registry's database holds."""
    with contextlib.closing(sqlite3.connect(registry.root / "moorage.db")) as connection:
        return sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def is_whole(wire: Wire, name: str, reference: str, image: Image) -> bool:
    """Whether the image is pulled as it was pushed."""
    manifest = wire.get(f"/v2/{name}/manifests/{reference}", ("Accept", "*/*"))
    return manifest.body == image.manifest.payload and all(
        wire.get(f"/v2/{name}/blobs/{blob.digest}").body == blob.payload for blob in image.blobs
    )


def backup_of(commands: Commands, folder: Path, *options: str) -> dict[str, object]:
    """Make a backup that must succeed; what it says of itself."""
    outcome = commands.run("backup", folder, *options)
    assert outcome.code == 0, outcome
    head: dict[str, object] = json.loads((folder / "backup.json").read_text())
    return head


@pytest.fixture
def empty(tmp_path: Path) -> RunningRegistry:
    """A registry that has nothing yet and is not running."""
    return RunningRegistry(tmp_path / "empty")


def start(commands: Commands, word: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a command that the test will kill."""
    command = [*PROGRAM, word, *map(str, arguments), "--config", str(commands.config)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_when(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Kill the process as soon as it has come so far."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(SECONDS)


def test_a_restored_registry_is_the_same(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path
) -> None:
    """All rows come along, history and events too, and every image is pulled as before."""
    other = random_image()
    push_image(stocked.wire, "team/app", other, "1.0")
    push_image(stocked.wire, "team/app", stocked.image, "2.0")
    gone = random_image()
    push_image(stocked.wire, "base", gone, "gone")
    stocked.wire.delete(f"/v2/base/manifests/{gone.manifest.digest}")
    backup_of(stocked.commands, tmp_path / "backup")
    before = {table: rows(stocked.registry, table) for table in TABLES}

    outcome = Commands.of(empty).run("restore", tmp_path / "backup", "--json")

    assert outcome.code == 0, outcome
    assert {table: rows(empty, table) for table in TABLES} == before
    with empty, Wire(f"http://{empty.host}") as wire:
        assert is_whole(wire, "team/app", "1.0", other)
        assert is_whole(wire, "team/app", "2.0", stocked.image)
        assert is_whole(wire, "base", "1.0", stocked.image)
        push_image(wire, "base", random_image(), "next")
    check = Commands.of(empty).run("check", "--json")
    assert check.json()["problems"] == 0, check.text


def test_a_second_backup_copies_only_what_is_new(stocked: Stocked, tmp_path: Path) -> None:
    """What is there is not copied again; the old catalogue makes way when the new one is whole."""
    folder = tmp_path / "backup"
    first = backup_of(stocked.commands, folder)
    new = random_image()
    push_image(stocked.wire, "base", new, "2.0")

    outcome = stocked.commands.run("backup", folder, "--json")

    assert outcome.json()["newBlobs"] == len(new.blobs)
    second = json.loads((folder / "backup.json").read_text())
    assert second["blobs"] == first["blobs"] + len(new.blobs)  # type: ignore[operator]
    (catalogue,) = folder.glob("catalogue-*")
    assert catalogue.name == second["catalogue"]["file"]


def test_a_backup_goes_into_a_folder_named_from_here(
    stocked: Stocked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder may be a relative path."""
    monkeypatch.chdir(tmp_path)

    backup_of(stocked.commands, Path("backup"))

    assert stocked.commands.run("backup", tmp_path / "backup", "--check").code == 0


def test_the_backup_of_another_registry_is_not_replaced(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path
) -> None:
    """A registry whose database lacks what the backup has gets a folder of its own."""
    folder = tmp_path / "backup"
    backup_of(stocked.commands, folder)
    before = sorted(path.name for path in folder.iterdir())
    with empty:
        pass

    outcome = Commands.of(empty).run("backup", folder, "--prune")

    assert outcome.code == 2, outcome
    assert "another registry" in outcome.errors
    assert sorted(path.name for path in folder.iterdir()) == before
    assert stocked.commands.run("backup", folder, "--check").code == 0
    (folder / "backup.json").unlink()
    backup_of(Commands.of(empty), folder)


def test_pruning_forgets_what_the_backup_does_not_need(stocked: Stocked, tmp_path: Path) -> None:
    """With --prune a blob that the registry has no more leaves the folder, without it it stays."""
    folder = tmp_path / "backup"
    alone = Content(b"a blob that goes")
    push_blob(stocked.wire, "base", alone)
    backup_of(stocked.commands, folder)
    stocked.wire.delete(f"/v2/base/blobs/{alone.digest}")
    copy = folder / "blobs" / "sha256" / alone.digest[7:9] / alone.digest[7:]

    backup_of(stocked.commands, folder)
    assert copy.read_bytes() == alone.payload
    backup_of(stocked.commands, folder, "--prune")
    assert not copy.exists()
    assert stocked.commands.run("backup", folder, "--check").code == 0


def test_the_check_finds_every_kind_of_damage(stocked: Stocked, tmp_path: Path) -> None:
    """A changed blob, a missing blob and a changed catalogue are told apart from a sound backup."""
    folder = tmp_path / "backup"
    backup_of(stocked.commands, folder)
    first, second, *_ = sorted(path for path in (folder / "blobs").rglob("*") if path.is_file())
    assert stocked.commands.run("backup", folder, "--check").code == 0

    first.write_bytes(b"!" * first.stat().st_size)
    second.unlink()
    outcome = stocked.commands.run("backup", folder, "--check", "--json")
    assert outcome.code == 1
    assert {digest[7:] for digest in outcome.json()["missing"]} == {first.name, second.name}

    (catalogue,) = folder.glob("catalogue-*")
    catalogue.write_bytes(catalogue.read_bytes()[:-1])
    outcome = stocked.commands.run("backup", folder, "--check")
    assert outcome.code == 2
    assert "damaged" in outcome.errors


def test_damaged_copies_are_not_restored(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path
) -> None:
    """A blob that hashes to something else is named and left out; the rest is restored."""
    folder = tmp_path / "backup"
    backup_of(stocked.commands, folder)
    layer = stocked.image.layers[0].digest
    (copy,) = (folder / "blobs").rglob(layer[7:])
    copy.write_bytes(b"!" * copy.stat().st_size)

    outcome = Commands.of(empty).run("restore", folder, "--json")

    assert outcome.code == 1
    assert outcome.json()["missing"] == [layer]
    with empty, Wire(f"http://{empty.host}") as wire:
        assert wire.get("/v2/base/manifests/1.0", ("Accept", "*/*")).status == 200
        assert wire.get(f"/v2/base/blobs/{layer}").status == 404


def test_a_registry_with_content_is_left_alone(stocked: Stocked, tmp_path: Path) -> None:
    """A backup is not restored over a registry that has something."""
    backup_of(stocked.commands, tmp_path / "backup")
    push_image(stocked.wire, "base", random_image(), "2.0")

    outcome = stocked.commands.run("restore", tmp_path / "backup")

    assert outcome.code == 2
    assert "not empty" in outcome.errors


@pytest.mark.parametrize("content", ["nothing", "other"])
def test_what_is_no_backup_is_refused(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path, content: str
) -> None:
    """A folder without a complete backup is not restored; one with other files not written to."""
    folder = tmp_path / "folder"
    folder.mkdir()
    if content == "other":
        (folder / "thesis.txt").write_text("important")
        assert stocked.commands.run("backup", folder).code == 2

    outcome = Commands.of(empty).run("restore", folder)

    assert outcome.code == 2
    assert "no complete backup" in outcome.errors
    assert not empty.root.exists()


def test_without_blobs_the_store_must_have_them(stocked: Stocked, tmp_path: Path) -> None:
    """A backup of the catalogue alone is restored beside the blobs that are still there."""
    folder = tmp_path / "backup"
    head = backup_of(stocked.commands, folder, "--catalogue-only")
    stocked.registry.stop()
    assert head["blobs"] == 0
    assert not (folder / "blobs").exists()
    for file in stocked.registry.root.glob("moorage.db*"):
        file.unlink()

    outcome = stocked.commands.run("restore", folder)

    assert outcome.code == 0, outcome
    with stocked.registry, Wire(f"http://{stocked.registry.host}") as wire:
        assert is_whole(wire, "team/app", "1.0", stocked.image)


def test_a_killed_backup_leaves_the_one_before(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path
) -> None:
    """A backup that dies half-way is none; the earlier one is restored, and the next completes."""
    folder = tmp_path / "backup"
    backup_of(stocked.commands, folder)
    large = random_image(layers=8, layer_size=200_000)
    push_image(stocked.wire, "base", large, "2.0")
    before = len(list((folder / "blobs").rglob("*")))
    process = start(stocked.commands, "backup", folder, "--rate", "400KiB")
    kill_when(process, lambda: len(list((folder / "blobs").rglob("*"))) > before + 1)

    assert Commands.of(empty).run("restore", folder).code == 0
    assert not any("2.0" in row for row in rows(empty, "tags"))
    outcome = stocked.commands.run("backup", folder, "--json")
    assert outcome.code == 0, outcome
    assert 0 < outcome.json()["newBlobs"] < len(large.blobs)
    assert stocked.commands.run("backup", folder, "--check").code == 0


def test_a_killed_restore_goes_on(stocked: Stocked, empty: RunningRegistry, tmp_path: Path) -> None:
    """What a killed restore has written is used by the next one, which completes."""
    folder = tmp_path / "backup"
    large = random_image(layers=8, layer_size=200_000)
    push_image(stocked.wire, "base", large, "2.0")
    backup_of(stocked.commands, folder)
    commands = Commands.of(empty)
    process = start(commands, "restore", folder, "--rate", "400KiB")
    blobs = empty.root / "blobs"
    kill_when(process, lambda: sum(path.is_file() for path in blobs.rglob("*.*")) > 1)

    outcome = commands.run("restore", folder, "--json")

    assert outcome.code == 0, outcome
    assert outcome.json()["present"] > 0
    with empty, Wire(f"http://{empty.host}") as wire:
        assert is_whole(wire, "base", "2.0", large)


def test_a_backup_during_pushes_is_consistent(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path
) -> None:
    """Whatever is pushed and deleted meanwhile, each restored tag has its manifest and blobs."""
    stop = threading.Event()
    pushed: dict[str, Image] = {}

    def push_all_the_time() -> None:
        with Wire(f"http://{stocked.registry.host}") as wire:
            number = 0
            while not stop.is_set():
                image = random_image(layers=2)
                push_image(wire, f"busy/{number % 3}", image, f"v{number}")
                pushed[f"busy/{number % 3}:v{number}"] = image
                if number % 5 == 4:
                    old = pushed.pop(f"busy/{(number - 2) % 3}:v{number - 2}")
                    name = f"busy/{(number - 2) % 3}"
                    wire.delete(f"/v2/{name}/manifests/{old.manifest.digest}")
                    wire.delete(f"/v2/{name}/blobs/{old.config.digest}")
                number += 1

    for number in range(30):
        push_image(stocked.wire, "base", random_image(layers=2), f"n{number}")
    thread = threading.Thread(target=push_all_the_time)
    thread.start()
    try:
        backup_of(stocked.commands, tmp_path / "backup", "--rate", "100KiB")
    finally:
        stop.set()
        thread.join()

    commands = Commands.of(empty)
    assert commands.run("restore", tmp_path / "backup").code == 0
    check = commands.run("check", "--json")
    assert check.json()["problems"] == 0, check.text
    assert check.json()["tags"] >= 32


def test_an_older_schema_is_migrated(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup from before a migration gets what the migration does to the rows it finds."""
    folder = tmp_path / "backup"
    head = backup_of(stocked.commands, folder)
    known = migrations.all_migrations()
    assert head["schema"] == known[-1].version
    later = migrations.Migration(
        known[-1].version + 1,
        "later",
        (
            "ALTER TABLE repositories ADD COLUMN letters BIGINT NOT NULL DEFAULT 0",
            "UPDATE repositories SET letters = length(name)",
            "CREATE TABLE notes (id BIGINT PRIMARY KEY)",
        ),
    )
    for module in (migrations, tables):
        monkeypatch.setattr(module, "all_migrations", lambda: (*known, later))

    async def restore() -> None:
        database = SQLiteDatabase(empty.root / "moorage.db")
        store, scratch = FilesystemStore(empty.root), tmp_path / "scratch"
        scratch.mkdir()
        async with opened(database, store):
            report = RestoreReport(pytest.fail)
            arguments = (BackupFolder(folder), Pace(None), SilentProgress(), report, scratch)
            await Restore(database, store, *arguments).run()

    asyncio.run(restore())

    named = {(row[1], row[-1]) for row in rows(empty, "repositories")}
    assert named == {("base", 4), ("team/app", 8)}
    assert rows(empty, "tags") == rows(stocked.registry, "tags")


def test_an_older_backup_is_restored_by_the_program(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path
) -> None:
    """A backup that says it has the first schema goes through the migrations since."""
    folder = tmp_path / "backup"
    head = backup_of(stocked.commands, folder)
    (folder / "backup.json").write_text(json.dumps({**head, "schema": 1}))

    outcome = Commands.of(empty).run("restore", folder)

    assert outcome.code == 0, outcome
    assert rows(empty, "tags") == rows(stocked.registry, "tags")


def test_a_newer_schema_is_refused(
    stocked: Stocked, empty: RunningRegistry, tmp_path: Path
) -> None:
    """A backup of a newer program names its version instead of being restored by halves."""
    folder = tmp_path / "backup"
    head = backup_of(stocked.commands, folder)
    (folder / "backup.json").write_text(json.dumps({**head, "schema": 999}))

    outcome = Commands.of(empty).run("restore", folder)

    assert outcome.code == 2
    assert "schema version 999" in outcome.errors
