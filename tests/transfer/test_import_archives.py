# SPDX-License-Identifier: Apache-2.0
"""OCI layouts and archives of docker save, as the tools write them and as an enemy would."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.images import (
    OCI_LAYER,
    Content,
    Image,
    digest_of,
    image_config,
    image_manifest,
    index,
    json_bytes,
    manifest_path,
    push_image,
    random_image,
    tar_layer,
)
from tests.support.registry import RunningRegistry
from tests.support.tools import need
from tests.support.wire import Wire
from tests.transfer.old_registry import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.commands import Commands

REF_NAME = "org.opencontainers.image.ref.name"


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A plain tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, payload in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(payload)
            archive.addfile(entry, io.BytesIO(payload))
    return buffer.getvalue()


def layout_of(*contents: Content, listed: list[dict[str, object]]) -> dict[str, bytes]:
    """The files of an OCI layout."""
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json_bytes({"schemaVersion": 2, "manifests": listed}),
    }
    return files | {f"blobs/{each.digest.replace(':', '/')}": each.payload for each in contents}


def image_layout(image: Image, **annotations: str) -> dict[str, bytes]:
    """The layout of one image."""
    entry = image.manifest.descriptor(annotations=annotations)
    return layout_of(image.manifest, *image.blobs, listed=[entry])


def saved(image: Image, *names: str) -> dict[str, bytes]:
    """The files of docker save, in its old layout: a folder for each layer, and links."""
    files = {f"{number}/layer.tar": layer.payload for number, layer in enumerate(image.layers)}
    contents = [
        {
            "Config": f"{image.config.digest[7:]}.json",
            "RepoTags": list(names) or None,
            "Layers": list(files),
        }
    ]
    files[f"{image.config.digest[7:]}.json"] = image.config.payload
    return {**files, "manifest.json": json_bytes(contents), "repositories": b"{}"}


def plain_image() -> Image:
    """An image with uncompressed layers."""
    layers = (tar_layer({"a": b"1" * 5000}, OCI_LAYER), tar_layer({"b": b"2"}, OCI_LAYER))
    config = image_config(layers)
    return Image(image_manifest(config, layers), config, layers)


def assert_holds(registry: RunningRegistry, name: str, tag: str, image: Image) -> None:
    """The registry serves the image, manifest and blobs."""
    with registry, Wire(f"http://{registry.host}") as wire:
        answer = wire.get(manifest_path(name, tag), *ACCEPTED)
        assert answer.body == image.manifest.payload
        for blob in image.blobs:
            assert wire.get(f"/v2/{name}/blobs/{blob.digest}").body == blob.payload


@pytest.mark.parametrize(
    ("annotations", "arguments", "name", "tag"),
    [
        ({REF_NAME: "1.0"}, ("--repository", "team/app"), "team/app", "1.0"),
        ({}, ("--repository", "team/app", "--tag", "a", "--tag", "b"), "team/app", "b"),
        ({REF_NAME: "localhost/team/app:2"}, (), "team/app", "2"),
        (
            {REF_NAME: "2", "io.containerd.image.name": "docker.io/library/app:2"},
            (),
            "app",
            "2",
        ),
        ({REF_NAME: "x:1"}, ("-r", "mine", "-t", "3"), "mine", "3"),
    ],
)
def test_names_of_a_layout(
    registry: RunningRegistry,
    commands: Commands,
    annotations: dict[str, str],
    arguments: tuple[str, ...],
    name: str,
    tag: str,
) -> None:
    """Repository and tag come from the command, else from the annotations that tools write."""
    image = random_image()
    archive = tar_of(image_layout(image, **annotations))
    outcome = commands.run("import", "-", *arguments, stdin=archive)

    assert outcome.code == 0, outcome
    assert_holds(registry, name, tag, image)


def test_a_nameless_layout_is_refused(commands: Commands) -> None:
    """A layout that says no name asks for --repository."""
    outcome = commands.run("import", "-", stdin=tar_of(image_layout(random_image())))

    assert outcome.code == 2
    assert "--repository" in outcome.errors


def test_nested_indexes_and_cache_blobs_come_along(
    registry: RunningRegistry, commands: Commands
) -> None:
    """An index in an index, and an index of layers as build caches write it, arrive whole."""
    image = random_image()
    inner = index([image.manifest.descriptor()])
    layer = tar_layer({"cached": b"1"})
    cache = index([layer.descriptor()])
    outer = index([inner.descriptor(), cache.descriptor()])
    contents = (outer, inner, cache, layer, image.manifest, *image.blobs)
    entry = outer.descriptor(annotations={REF_NAME: "team/app:1"})
    archive = tar_of(layout_of(*contents, listed=[entry]))

    assert commands.run("import", "-", stdin=archive).code == 0
    with registry, Wire(f"http://{registry.host}") as wire:
        for manifest in (outer, inner, cache, image.manifest):
            answer = wire.get(manifest_path("team/app", manifest.digest), *ACCEPTED)
            assert answer.body == manifest.payload
        assert wire.get(f"/v2/team/app/blobs/{layer.digest}").body == layer.payload


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_archives(
    registry: RunningRegistry, commands: Commands, compress: Callable[[bytes], bytes]
) -> None:
    """Archives come compressed as tools do it, and nothing unpacked is left behind."""
    image = random_image()
    archive = compress(tar_of(image_layout(image, **{REF_NAME: "app:1"})))

    assert commands.run("import", "-", stdin=archive).code == 0
    assert_holds(registry, "app", "1", image)
    assert {path.name for path in registry.root.iterdir()} >= {"blobs", "uploads"}
    assert not list((registry.root / "uploads").iterdir())


def test_damaged_images_stay_out(registry: RunningRegistry, commands: Commands) -> None:
    """Of two images in a layout the damaged one is named and the other imported."""
    good, bad = random_image(), random_image()
    entries = [
        image.manifest.descriptor(annotations={REF_NAME: f"app:{tag}"})
        for image, tag in ((good, "good"), (bad, "bad"))
    ]
    files = layout_of(good.manifest, *good.blobs, bad.manifest, *bad.blobs, listed=entries)
    name = f"blobs/{bad.layers[0].digest.replace(':', '/')}"
    files[name] = bytes(len(files[name]))
    outcome = commands.run("import", "-", "--json", stdin=tar_of(files))

    assert outcome.code == 1, outcome
    (skipped,) = outcome.json()["skipped"]
    assert skipped["what"] == "image bad"
    assert_holds(registry, "app", "good", good)
    assert commands.run("ls", "app").text.count("good") == 1
    assert "bad" not in commands.run("ls", "app").text


def test_a_dry_run_keeps_nothing(registry: RunningRegistry, commands: Commands) -> None:
    """A dry run of an archive checks it and makes no registry."""
    archive = tar_of(image_layout(random_image(), **{REF_NAME: "app:1"}))
    outcome = commands.run("import", "-", "--dry-run", stdin=archive)

    assert outcome.code == 0, outcome
    assert "would import" in outcome.text
    assert not registry.root.exists()


@pytest.mark.parametrize(
    ("names", "arguments", "name", "tag"),
    [
        (("docker.io/library/app:1",), (), "app", "1"),
        (("registry.example:5000/team/app:1",), (), "team/app", "1"),
        (("team/app:1", "team/app:2"), (), "team/app", "2"),
        ((), ("--repository", "app", "--tag", "1"), "app", "1"),
        (("other:7",), ("--repository", "app"), "app", "7"),
    ],
)
def test_docker_archives(
    registry: RunningRegistry,
    commands: Commands,
    names: tuple[str, ...],
    arguments: tuple[str, ...],
    name: str,
    tag: str,
) -> None:
    """An archive of docker save becomes an image of exactly its layers, under a stable digest."""
    image = plain_image()
    archive = tar_of(saved(image, *names))
    first = commands.run("import", "-", *arguments, "--json", stdin=archive)
    second = commands.run("import", "-", *arguments, "--json", stdin=archive)

    assert (first.code, second.code) == (0, 0), first
    assert first.json()["images"] == second.json()["images"]
    assert first.json()["images"][0]["digest"] == image.manifest.digest
    assert_holds(registry, name, tag, image)


def test_new_docker_archives_are_layouts(registry: RunningRegistry, commands: Commands) -> None:
    """An archive that is both keeps the manifest that Docker made; --from docker insists."""
    image = random_image()
    config = f"blobs/sha256/{image.config.digest[7:]}"
    layers = [f"blobs/sha256/{layer.digest[7:]}" for layer in image.layers]
    contents = [{"Config": config, "RepoTags": ["app:1"], "Layers": layers}]
    names = {REF_NAME: "1", "io.containerd.image.name": "docker.io/library/app:1"}
    files = {**image_layout(image, **names), "manifest.json": json_bytes(contents)}

    assert commands.run("import", "-", stdin=tar_of(files)).code == 0
    outcome = commands.run(
        "import", "-", "--from", "docker", "-r", "made", "--json", stdin=tar_of(files)
    )
    assert outcome.code == 0, outcome
    assert_holds(registry, "app", "1", image)
    with registry, Wire(f"http://{registry.host}") as wire:
        made = json.loads(wire.get(manifest_path("made", "1"), *ACCEPTED).body)
    assert [layer["digest"] for layer in made["layers"]] == [each.digest for each in image.layers]
    assert made["layers"][0]["mediaType"].endswith("tar+gzip")


def test_links_inside_an_archive_are_followed(
    registry: RunningRegistry, commands: Commands, tmp_path: Path
) -> None:
    """Old Dockers write a layer that occurs twice as a symbolic link to the first one."""
    image = plain_image()
    files = saved(image, "app:1")
    with tarfile.open(tmp_path / "saved.tar", "w") as archive:
        for name, payload in files.items():
            entry = tarfile.TarInfo(f"real/{name}" if name.endswith("layer.tar") else name)
            entry.size = len(payload)
            archive.addfile(entry, io.BytesIO(payload))
        for name in files:
            if name.endswith("layer.tar"):
                entry = tarfile.TarInfo(f"./{name}")
                entry.type, entry.linkname = tarfile.SYMTYPE, f"../real/{name}"
                archive.addfile(entry)

    assert commands.run("import", tmp_path / "saved.tar").code == 0
    assert_holds(registry, "app", "1", image)


def test_a_wrong_layer_is_refused(commands: Commands) -> None:
    """A layer that is not the one its config names stays out."""
    files = saved(plain_image(), "app:1")
    files["0/layer.tar"] = tar_layer({"a": b"evil"}, OCI_LAYER).payload
    outcome = commands.run("import", "-", stdin=tar_of(files))

    assert outcome.code == 1, outcome
    assert "hashes to" in outcome.text


def test_skopeo_archives(tmp_path: Path, registry: RunningRegistry, commands: Commands) -> None:
    """What skopeo writes as docker-archive and as oci-archive comes in; the latter unchanged."""
    skopeo = need("skopeo", "skopeo")
    image = random_image(layers=3)
    with RunningRegistry(tmp_path / "source") as source:
        with Wire(f"http://{source.host}") as wire:
            push_image(wire, "app", image, "1.0")
        for destination in (
            f"docker-archive:{tmp_path}/docker.tar:team/docker:1.0",
            f"oci-archive:{tmp_path}/oci.tar:1.0",
        ):
            command = [skopeo, "copy", "--src-tls-verify=false"]
            subprocess.run(
                [*command, f"docker://{source.host}/app:1.0", destination],
                capture_output=True,
                check=True,
            )
    docker = commands.run("import", tmp_path / "docker.tar", "--json")
    oci = commands.run("import", tmp_path / "oci.tar", "--repository", "team/oci")

    assert (docker.code, oci.code) == (0, 0), docker
    (arrived,) = docker.json()["images"]
    assert (arrived["repository"], arrived["tags"]) == ("team/docker", ["1.0"])
    assert_holds(registry, "team/oci", "1.0", image)
    with registry, Wire(f"http://{registry.host}") as wire:
        made = json.loads(wire.get(manifest_path("team/docker", "1.0"), *ACCEPTED).body)
        diff_ids = json.loads(image.config.payload)["rootfs"]["diff_ids"]
        assert [layer["digest"] for layer in made["layers"]] == diff_ids
        assert made["layers"][0]["mediaType"] == OCI_LAYER


def test_a_hostile_archive_is_refused(commands: Commands) -> None:
    """An archive with a name that leads out of it is not imported, and the name is said."""
    outcome = commands.run("import", "-", stdin=tar_of({"../outside": b"", "index.json": b"{}"}))

    assert outcome.code == 2, outcome
    assert "'../outside' leads out of the archive" in outcome.errors


def test_a_link_in_a_layout_folder_leads_nowhere(tmp_path: Path, commands: Commands) -> None:
    """A blob of a layout folder that is a symbolic link is not followed."""
    image = random_image()
    for name, payload in image_layout(image, **{REF_NAME: "app:1"}).items():
        path = tmp_path / "layout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
    layer = tmp_path / "layout" / "blobs" / image.layers[0].digest.replace(":", "/")
    layer.rename(tmp_path / "elsewhere")
    layer.symlink_to(tmp_path / "elsewhere")

    outcome = commands.run("import", tmp_path / "layout")
    assert outcome.code == 1
    assert image.layers[0].digest in outcome.text
    assert digest_of(b"") not in outcome.text
