# SPDX-License-Identifier: Apache-2.0
"""Moving from distribution: its data folder, made by a real one, becomes ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import PROGRAM, Commands
from tests.support.images import digest_of, push_image, random_image
from tests.support.wire import Wire
from tests.transfer.old_registry import OldRegistry, assert_serves, fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.registry import RunningRegistry


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> OldRegistry:
    """The data of a distribution; tests that change it make a copy."""
    return fill(tmp_path_factory.mktemp("distribution"))


@pytest.fixture
def old(pristine: OldRegistry, tmp_path: Path) -> OldRegistry:
    """A copy of that data for one test."""
    root = tmp_path / "old"
    shutil.copytree(pristine.root, root)
    return OldRegistry(root, dict(pristine.manifests), dict(pristine.tags), dict(pristine.blobs))


@pytest.mark.parametrize("how", [(), ("--copy",), ("--trust",)])
def test_every_digest_and_tag_arrives(
    old: OldRegistry, registry: RunningRegistry, commands: Commands, how: tuple[str, ...]
) -> None:
    """What distribution served is served by us, byte for byte, untagged manifests too."""
    outcome = commands.run("import", old.root, "--json", *how)

    assert outcome.code == 0, outcome
    report = outcome.json()
    assert report["manifests"] == len(old.manifests)
    assert report["tags"] == len(old.tags)
    assert report["blobs"] == len({digest for _, digest in old.blobs})
    assert report["linked"] == (0 if how == ("--copy",) else report["blobs"])
    with registry, Wire(f"http://{registry.host}") as wire:
        assert_serves(wire, old)
    assert commands.run("check").code == 0


def test_hard_links_share_their_bytes(
    old: OldRegistry, registry: RunningRegistry, commands: Commands
) -> None:
    """By default no byte is copied, and distribution's files stay as they are."""
    before = {path: path.stat().st_mtime_ns for path in old.root.rglob("data")}
    commands.run("import", old.root)

    ours = {path.stat().st_ino for path in (registry.root / "blobs").rglob("*") if path.is_file()}
    blobs = {old.blob_file(digest).stat().st_ino for _, digest in old.blobs}
    assert ours == blobs
    assert {path: path.stat().st_mtime_ns for path in old.root.rglob("data")} == before


def test_the_same_root_serves_both(pristine: OldRegistry, registry: RunningRegistry) -> None:
    """A configuration whose rootdirectory is distribution's keeps its place after the import."""
    shutil.copytree(pristine.root, registry.root)
    outcome = Commands.of(registry).run("import", registry.root)

    assert outcome.code == 0, outcome
    with registry, Wire(f"http://{registry.host}") as wire:
        assert_serves(wire, pristine)


def test_a_dry_run_changes_nothing(
    old: OldRegistry, registry: RunningRegistry, commands: Commands
) -> None:
    """A dry run tells the figures of the real one and makes no registry."""
    outcome = commands.run("import", old.root, "--dry-run", "--json")

    assert outcome.code == 0, outcome
    assert outcome.json()["manifests"] == len(old.manifests)
    assert outcome.json()["tags"] == len(old.tags)
    assert not registry.root.exists()


def test_importing_again_does_nothing(old: OldRegistry, commands: Commands) -> None:
    """A second import finds everything there."""
    commands.run("import", old.root)
    report = commands.run("import", old.root, "--json").json()

    assert (report["blobs"], report["manifests"], report["tags"]) == (0, 0, 0)
    assert report["present"]["manifests"] == len(old.manifests)
    assert report["present"]["tags"] == len(old.tags)
    assert report["present"]["blobs"] == len({digest for _, digest in old.blobs})


def test_an_interrupted_import_goes_on(
    old: OldRegistry, registry: RunningRegistry, commands: Commands
) -> None:
    """An import that was killed at any moment is completed by the next one."""
    for milliseconds in (250, 350, 450, 550):
        command = [*PROGRAM, "import", str(old.root), "--config", str(commands.config)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    outcome = commands.run("import", old.root)

    assert outcome.code == 0, outcome
    with registry, Wire(f"http://{registry.host}") as wire:
        assert_serves(wire, old)
    assert commands.run("check").code == 0


def test_what_cannot_come_is_named(
    old: OldRegistry, registry: RunningRegistry, commands: Commands
) -> None:
    """Damaged, missing and schema 1 content stays behind with its reason; the rest arrives."""
    (damaged,) = (d for (n, t), d in old.tags.items() if (n, t) == ("app", "1.0"))
    (lost,) = (d for (n, t), d in old.tags.items() if (n, t) == ("app", "docker"))
    layers = {
        digest: json.loads(old.manifests["app", digest].payload)["layers"][0]["digest"]
        for digest in (damaged, lost)
    }
    old.blob_file(layers[damaged]).write_bytes(b"something else")
    old.blob_file(layers[lost]).unlink()
    schema1 = b'{"schemaVersion": 1, "name": "app", "tag": "old"}'
    _add_manifest(old, "app", schema1, "old")

    outcome = commands.run("import", old.root, "--json")

    assert outcome.code == 1, outcome
    skipped = {
        (each["repository"], each["what"]): each["reason"] for each in outcome.json()["skipped"]
    }
    assert "damaged" in skipped["app", f"blob {layers[damaged]}"]
    assert "missing" in skipped["app", f"blob {layers[lost]}"]
    assert layers[damaged] in skipped["app", f"manifest {damaged}"]
    assert layers[lost] in skipped["app", f"manifest {lost}"]
    assert "schema 1" in skipped["app", f"manifest {digest_of(schema1)}"]
    for tag in ("1.0", "latest", "docker", "old"):
        assert "not imported" in skipped["app", f"tag {tag}"]
    for key in [key for key in old.tags if key[0] == "app"]:
        del old.tags[key]
    for digest in (damaged, lost):
        del old.manifests["app", digest]
    for digest in layers.values():
        del old.blobs["app", digest]
    with registry, Wire(f"http://{registry.host}") as wire:
        assert_serves(wire, old)
    assert commands.run("check").code == 0


def test_empty_links_are_mended(
    old: OldRegistry, registry: RunningRegistry, commands: Commands
) -> None:
    """Links that a crash has emptied or lost are no loss where a manifest tells the digest."""
    links = sorted(old.tree.glob("repositories/app/_layers/sha256/*/link"))
    links[0].write_bytes(b"")
    links[1].unlink()
    for link in old.tree.glob("repositories/app/_manifests/revisions/sha256/*/link"):
        link.write_bytes(b"")
    lone = {key for key in old.blobs if key[1].endswith(links[1].parent.name)}
    needed = {blob for manifest in old.manifests.values() for blob in _digests(manifest.payload)}

    assert commands.run("import", old.root).code == 0
    for key in lone:
        if key[0] == "app" and key[1] not in needed:
            del old.blobs[key]
    with registry, Wire(f"http://{registry.host}") as wire:
        assert_serves(wire, old)


def test_a_tag_that_moved_here_stays(
    old: OldRegistry, registry: RunningRegistry, commands: Commands
) -> None:
    """An import does not undo what was pushed since the last one, unless it is told to."""
    commands.run("import", old.root)
    newer = random_image()
    with registry, Wire(f"http://{registry.host}") as wire:
        push_image(wire, "app", newer, "1.0")

        kept = commands.run("import", old.root)
        assert kept.code == 1
        assert "--move-tags" in kept.text
        assert wire.head("/v2/app/manifests/1.0").headers["Docker-Content-Digest"] == (
            newer.manifest.digest
        )

        assert commands.run("import", old.root, "--move-tags").code == 0
        assert_serves(wire, old)


def test_the_time_of_the_push_comes_along(old: OldRegistry, commands: Commands) -> None:
    """An image is as old as it was in distribution."""
    link = next(
        old.tree.glob(f"repositories/app/_manifests/revisions/*/{old.tags['app', '1.0'][7:]}/link")
    )
    os.utime(link, (1_600_000_000, 1_600_000_000))
    commands.run("import", old.root)

    tags = {tag["name"]: tag for tag in commands.run("ls", "app", "--json").json()}
    assert tags["1.0"]["pushed"] == "2020-09-13T12:26:40Z"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--repository", "app"), "--repository has no meaning"),
        (("--from", "oci"), "index.json"),
    ],
)
def test_misplaced_options_are_refused(
    old: OldRegistry, commands: Commands, arguments: tuple[str, ...], reason: str
) -> None:
    """Options that do not fit the source end the command before anything is done."""
    outcome = commands.run("import", old.root, *arguments)

    assert outcome.code == 2
    assert reason in outcome.errors


def test_another_folder_is_refused(tmp_path: Path, commands: Commands) -> None:
    """A folder that is nothing we know is said to be that."""
    (tmp_path / "photos").mkdir()
    outcome = commands.run("import", tmp_path / "photos")

    assert outcome.code == 2
    assert "neither the data of distribution" in outcome.errors


def _add_manifest(old: OldRegistry, name: str, payload: bytes, tag: str) -> None:
    digest = digest_of(payload)
    manifests = old.tree / "repositories" / name / "_manifests"
    for path, content in (
        (old.blob_file(digest), payload),
        (manifests / "revisions" / "sha256" / digest[7:] / "link", digest.encode()),
        (manifests / "tags" / tag / "current" / "link", digest.encode()),
    ):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)


def _digests(payload: bytes) -> set[str]:
    document = json.loads(payload)
    entries = [*document.get("layers", []), document.get("config", {})]
    return {entry.get("digest", "") for entry in entries}
