# SPDX-License-Identifier: Apache-2.0
"""The images that clients push: one that runs, one for two platforms, one as large as real ones.

They are written as OCI layouts, which every client but Docker reads; Docker imports the root folder
itself. What is in a layout is exactly what `tests.support.images` made, so the digests a registry
must give back are known before any client has run.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.sandbox import tool
from tests.support.images import (
    Content,
    Image,
    Json,
    image_config,
    image_manifest,
    index,
    json_bytes,
    tar_layer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GREETING = "hello from the registry"
LARGE = 100 * 1024 * 1024
DEBIAN_SECONDS = 240
SOURCES = (Path("/etc/apt/sources.list.d"), Path("/etc/apt/sources.list"))


@dataclass(frozen=True, slots=True)
class TwoPlatforms:
    """An index over an image for each of two platforms."""

    manifest: Content
    children: tuple[Image, Image]

    @property
    def contents(self) -> tuple[Content, ...]:
        """Everything below the index, and the index."""
        blobs = [blob for child in self.children for blob in child.blobs]
        return (*blobs, *(child.manifest for child in self.children), self.manifest)


@dataclass(frozen=True, slots=True)
class RootFolder:
    """A root file system of more than 100 MB; `name` says where it is from."""

    folder: Path
    name: str
    version: str


def busybox_program() -> Path:
    """A busybox that runs without any library beside it."""
    path = Path(tool("busybox", "busybox-static"))
    if subprocess.run(["ldd", path], capture_output=True, check=False).returncode == 0:
        pytest.skip(f"{path} needs shared libraries (Debian package busybox-static)")
    return path


def busybox_folder(folder: Path) -> Path:
    """A root folder with busybox and nothing else."""
    (folder / "bin").mkdir(parents=True)
    shutil.copy(busybox_program(), folder / "bin" / "busybox")
    return folder


@functools.cache
def busybox_image() -> Image:
    """An image that says its greeting when it is run."""
    layer = tar_layer({"bin/busybox": busybox_program().read_bytes()})
    config = image_config([layer], command=["/bin/busybox", "echo", GREETING])
    return Image(image_manifest(config, [layer]), config, (layer,))


@functools.cache
def two_platforms() -> TwoPlatforms:
    """Busybox for the one platform, a text file for the other."""
    native = busybox_image()
    layer = tar_layer({"architecture": b"arm64\n"})
    config = image_config([layer], architecture="arm64")
    foreign = Image(image_manifest(config, [layer]), config, (layer,))
    return TwoPlatforms(index(_platforms(native, foreign)), (native, foreign))


def _platforms(native: Image, foreign: Image) -> list[Json]:
    children = ((native, "amd64"), (foreign, "arm64"))
    return [
        image.manifest.descriptor(platform={"architecture": architecture, "os": "linux"})
        for image, architecture in children
    ]


def write_layout(folder: Path, tags: Mapping[str, Content], contents: Iterable[Content]) -> Path:
    """An OCI layout with these contents, whose index names the tagged ones."""
    for content in contents:
        algorithm, _, encoded = content.digest.partition(":")
        blobs = folder / "blobs" / algorithm
        blobs.mkdir(parents=True, exist_ok=True)
        (blobs / encoded).write_bytes(content.payload)
    entries = [
        content.descriptor(annotations={"org.opencontainers.image.ref.name": tag})
        for tag, content in tags.items()
    ]
    (folder / "index.json").write_bytes(index(entries).payload)
    (folder / "oci-layout").write_bytes(json_bytes({"imageLayoutVersion": "1.0.0"}))
    return folder


def image_layout(folder: Path, tag: str, image: Image) -> Path:
    """An OCI layout with one image."""
    return write_layout(folder, {tag: image.manifest}, (*image.blobs, image.manifest))


def debian_root(folder: Path) -> RootFolder:
    """A Debian made by debootstrap, or where its mirror cannot be had, the machine's own files."""
    if shutil.which("debootstrap", path=os.environ["PATH"] + ":/usr/sbin") is None:
        return _own_root(folder)
    if not _bootstrapped(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return _own_root(folder)
    return RootFolder(folder, "debian-minbase", (folder / "etc/debian_version").read_text())


def _bootstrapped(folder: Path) -> bool:
    """Whether debootstrap could fill the folder; what it mounts there ends with it."""
    release = _os_release().get("VERSION_CODENAME", "stable")
    bootstrap = [tool("debootstrap"), "--variant=minbase", release, str(folder), *_mirror()]
    try:
        done = subprocess.run(
            ["unshare", "--mount", *bootstrap],
            capture_output=True,
            timeout=DEBIAN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _own_root(folder: Path) -> RootFolder:
    """Programs, libraries and package data of this machine until the size is reached."""
    taken = 0
    for source in ("usr/bin", "usr/sbin", "var/lib/dpkg", "usr/lib/*-linux-gnu"):
        for path in sorted(Path("/").glob(f"{source}/*")):
            if taken > LARGE:
                break
            if path.is_file() and not path.is_symlink():
                target = folder / path.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
                taken += path.stat().st_size
    status = Path("/var/lib/dpkg/status")
    if status.exists():
        (folder / "var/lib/dpkg").mkdir(parents=True, exist_ok=True)
        shutil.copy(status, folder / "var/lib/dpkg/status")
    return RootFolder(folder, "files-of-this-machine", "")


def _os_release() -> dict[str, str]:
    text = Path("/etc/os-release").read_text()
    return dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, flags=re.MULTILINE))


def _mirror() -> list[str]:
    """The first package mirror this machine uses, or nothing so that debootstrap takes its own."""
    files = [path for source in SOURCES for path in (source, *source.glob("*.sources"))]
    for path in filter(Path.is_file, files):
        found = re.search(r"^(?:URIs:|deb)\s+(https?://\S+)", path.read_text(), re.MULTILINE)
        if found is not None and "security" not in found[1]:
            return [found[1]]
    return []
