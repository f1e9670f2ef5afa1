# SPDX-License-Identifier: Apache-2.0
"""Images leave as an OCI layout, are understood by others, and come back the same."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Commands
from tests.support.images import (
    Content,
    Image,
    artifact,
    digest_of,
    index,
    manifest_path,
    push_image,
    push_manifest,
    random_blob,
    random_image,
)
from tests.support.registry import RunningRegistry
from tests.support.tools import need
from tests.support.wire import Wire
from tests.transfer.old_registry import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REF_NAME = "org.opencontainers.image.ref.name"


@dataclass
class Stocked:
    """A registry that serves while commands work on it, and what is in it."""

    registry: RunningRegistry
    image: Image
    platforms: tuple[Image, Image]
    index: Content
    signature: Image

    @property
    def commands(self) -> Commands:
        """The commands for it."""
        return Commands.of(self.registry)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    """An image, an index of two, and a signature of one of these."""
    image, amd64, arm64 = random_image(layers=3), random_image(), random_image(architecture="arm64")
    both = index(
        [
            each.manifest.descriptor(platform={"os": "linux", "architecture": architecture})
            for each, architecture in ((amd64, "amd64"), (arm64, "arm64"))
        ]
    )
    signature = artifact("application/example", [random_blob()], subject=amd64.manifest)
    with (
        RunningRegistry(tmp_path_factory.mktemp("stocked")) as running,
        Wire(f"http://{running.host}") as wire,
    ):
        push_image(wire, "team/app", image, "1.0")
        push_image(wire, "other.example/base", image, "1.0")
        for each in (amd64, arm64, signature):
            push_image(wire, "team/app", each)
        push_manifest(wire, "team/app", both, "multi")
        yield Stocked(running, image, (amd64, arm64), both, signature)


def blobs_of(layout: Path) -> dict[str, bytes]:
    """The content of a layout by digest, each of which must be right."""
    found = {}
    for path in (layout / "blobs").rglob("*"):
        if path.is_file():
            digest = f"{path.parent.name}:{path.name}"
            found[digest] = path.read_bytes()
            assert digest_of(found[digest]) == digest
    return found


def entries_of(layout: Path) -> list[dict[str, object]]:
    """The entries of a layout's index."""
    listed: list[dict[str, object]] = json.loads((layout / "index.json").read_text())["manifests"]
    return listed


def test_an_image_becomes_a_layout(stocked: Stocked, tmp_path: Path) -> None:
    """The layout has the image's content, its tag, and nothing else."""
    outcome = stocked.commands.run("export", "team/app:1.0", tmp_path / "layout")

    assert outcome.code == 0, outcome
    expected = {each.digest: each.payload for each in stocked.image.blobs}
    expected[stocked.image.manifest.digest] = stocked.image.manifest.payload
    assert blobs_of(tmp_path / "layout") == expected
    (entry,) = entries_of(tmp_path / "layout")
    assert entry["digest"] == stocked.image.manifest.digest
    assert entry["annotations"] == {REF_NAME: "1.0", "vnd.moorage.repository": "team/app"}
    assert json.loads((tmp_path / "layout" / "oci-layout").read_text()) == {
        "imageLayoutVersion": "1.0.0"
    }


def test_all_platforms_come_along(stocked: Stocked, tmp_path: Path) -> None:
    """An index is exported with all of its images, by tag and by digest."""
    reference = f"team/app@{stocked.index.digest}"
    for number, name in enumerate(("team/app:multi", reference)):
        stocked.commands.run("export", name, tmp_path / str(number))

        found = blobs_of(tmp_path / str(number))
        assert found[stocked.index.digest] == stocked.index.payload
        for image in stocked.platforms:
            for content in (image.manifest, *image.blobs):
                assert found[content.digest] == content.payload
        assert stocked.signature.manifest.digest not in found


def test_referrers_come_if_wanted(stocked: Stocked, tmp_path: Path) -> None:
    """With --referrers the signature of a platform's image is in the layout, without a tag."""
    stocked.commands.run("export", "team/app:multi", tmp_path / "layout", "--referrers")

    found = blobs_of(tmp_path / "layout")
    for content in (stocked.signature.manifest, *stocked.signature.blobs):
        assert found[content.digest] == content.payload
    names = {
        entry["digest"]: entry["annotations"].get(REF_NAME)  # type: ignore[attr-defined]
        for entry in entries_of(tmp_path / "layout")
    }
    assert names == {stocked.index.digest: "multi", stocked.signature.manifest.digest: None}


def test_a_repository_is_all_its_tags(stocked: Stocked, tmp_path: Path) -> None:
    """A repository without a tag means all tags; of several repositories the names are whole."""
    outcome = stocked.commands.run(
        "export", "team/app", "other.example/base", tmp_path / "all", "--json"
    )

    assert outcome.code == 0, outcome
    names = {entry["annotations"][REF_NAME] for entry in entries_of(tmp_path / "all")}  # type: ignore[index]
    assert names == {"team/app:1.0", "team/app:multi", "other.example/base:1.0"}
    assert len(outcome.json()["images"]) == 3


def test_the_archive_is_deterministic(stocked: Stocked, tmp_path: Path) -> None:
    """A tar file and standard output get the same bytes, every time."""
    for name in ("a.tar", "b.tar"):
        stocked.commands.run("export", "team/app:multi", "team/app:1.0", tmp_path / name)
    streamed = stocked.commands.run("export", "team/app:1.0", "team/app:multi", "-")

    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert streamed.output == (tmp_path / "a.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames()[:2] == ["oci-layout", "index.json"]


@pytest.mark.parametrize("kind", ["folder", "tar", "stream"])
def test_it_comes_back_the_same(
    stocked: Stocked, tmp_path: Path, commands: Commands, registry: RunningRegistry, kind: str
) -> None:
    """Exported and imported elsewhere, repositories, tags and digests are the same."""
    layout = tmp_path / ("layout.tar" if kind == "tar" else "layout")
    images = ("team/app", "other.example/base")
    if kind == "stream":
        archive = stocked.commands.run("export", *images, "-", "--referrers").output
        outcome = commands.run("import", "-", stdin=archive)
    else:
        stocked.commands.run("export", *images, layout, "--referrers")
        outcome = commands.run("import", layout)

    assert outcome.code == 0, outcome
    with registry, Wire(f"http://{registry.host}") as wire:
        for name, tag, content in (
            ("team/app", "1.0", stocked.image.manifest),
            ("other.example/base", "1.0", stocked.image.manifest),
            ("team/app", "multi", stocked.index),
        ):
            assert wire.get(manifest_path(name, tag), *ACCEPTED).body == content.payload
        for image in (*stocked.platforms, stocked.signature):
            answer = wire.get(manifest_path("team/app", image.manifest.digest))
            assert answer.body == image.manifest.payload
            for blob in image.blobs:
                assert wire.get(f"/v2/team/app/blobs/{blob.digest}").body == blob.payload
        subject = stocked.platforms[0].manifest.digest
        referrers = json.loads(wire.get(f"/v2/team/app/referrers/{subject}").body)["manifests"]
        assert [each["digest"] for each in referrers] == [stocked.signature.manifest.digest]
    assert not list(registry.root.glob("tmp*"))
    assert commands.run("check").code == 0


def test_skopeo_reads_the_layout(stocked: Stocked, tmp_path: Path) -> None:
    """The image is found by skopeo in the folder and in the tar, unchanged."""
    skopeo = need("skopeo", "skopeo")
    stocked.commands.run("export", "team/app:1.0", tmp_path / "layout")
    stocked.commands.run("export", "team/app:1.0", tmp_path / "layout.tar")

    for source in (f"oci:{tmp_path}/layout:1.0", f"oci-archive:{tmp_path}/layout.tar:1.0"):
        command = [skopeo, "inspect", "--raw", source]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        assert raw == stocked.image.manifest.payload


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("team/app:absent", "out"), 1, "there is no image team/app:absent"),
        (("absent", "out"), 1, "there is no repository absent"),
        (("Team/App", "out"), 2, "is not a repository name"),
        (("team/app:1.0",), 2, "where to write them"),
    ],
)
def test_what_cannot_be_exported_is_named(
    stocked: Stocked, tmp_path: Path, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    """An unknown image or a missing destination ends the command, and nothing is left behind."""
    paths = [tmp_path / each if each == "out" else each for each in arguments]
    outcome = stocked.commands.run("export", *paths)

    assert outcome.code == code, outcome
    assert reason in outcome.errors
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(stocked: Stocked, tmp_path: Path) -> None:
    """A destination that exists is left alone."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("dear")
    (tmp_path / "taken.tar").write_text("old")
    for name in ("full", "taken.tar"):
        outcome = stocked.commands.run("export", "team/app:1.0", tmp_path / name)

        assert outcome.code == 1
        assert "exists" in outcome.errors
    assert (tmp_path / "taken.tar").read_text() == "old"


def test_damage_is_not_exported(
    stocked: Stocked, tmp_path: Path, commands: Commands, registry: RunningRegistry
) -> None:
    """A blob whose bytes have changed ends the export, and the destination does not appear."""
    archive = stocked.commands.run("export", "team/app:1.0", "-").output
    commands.run("import", "-", stdin=archive)
    encoded = stocked.image.layers[0].digest.partition(":")[2]
    (file,) = (registry.root / "blobs").rglob(f"{encoded}.*")
    file.write_bytes(bytes(file.stat().st_size))

    outcome = commands.run("export", "team/app:1.0", tmp_path / "out.tar")

    assert outcome.code == 1
    assert "is damaged" in outcome.errors
    assert not list(tmp_path.glob("out*"))
