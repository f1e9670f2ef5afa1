# SPDX-License-Identifier: Apache-2.0
"""The README's push and pull, as written but for the port, and what it claims of reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.engine import docker_engine, socket_of
from tests.clients.sandbox import Sandbox, need_root, tool
from tests.docs.pages import blocks
from tests.support.images import blob_path, manifest_path, push_image, random_image
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITTEN_HOST = "127.0.0.1:5000"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    """A registry as `make serve` starts one, but with a port and a folder of its own."""
    with RunningRegistry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """An empty home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return Sandbox(folder)


def readme(command: str, host: str) -> str:
    """The README's block of commands that uses the program, for another registry."""
    texts = [block.text for block in blocks("sh") if block.page == "README.md"]
    (text,) = [text for text in texts if text.startswith(command) or f"| {command}" in text]
    assert WRITTEN_HOST in text
    return text.replace(WRITTEN_HOST, host)


def test_docker(registry: RunningRegistry, sandbox: Sandbox, tmp_path: Path) -> None:
    """With Docker and no image at hand an image is made, pushed and pulled again."""
    tool("docker", "docker.io")
    need_root("a Docker engine of our own")
    folder = tmp_path / "docker"
    folder.mkdir()
    with docker_engine(folder):
        sandbox.environment["DOCKER_HOST"] = socket_of(folder)
        printed = sandbox.run("sh", "-ec", readme("docker", registry.host))

    assert f"Downloaded newer image for {registry.host}/demo/hello:1" in printed


def test_skopeo(registry: RunningRegistry, sandbox: Sandbox) -> None:
    """Without Docker umoci makes an image, and skopeo takes it to the registry and back."""
    tool("umoci")
    tool("skopeo")
    sandbox.run("sh", "-ec", readme("umoci", registry.host))
    contents = [
        {path.name for path in (sandbox.folder / layout / "blobs" / "sha256").iterdir()}
        for layout in ("box", "pulled")
    ]

    assert contents[0]
    assert contents[0] == contents[1]


def test_reads_write_nothing(registry: RunningRegistry) -> None:
    """Pulls and lists leave every file of the data folder as it was."""
    image = random_image(layer_size=100_000)
    with Wire(f"http://{registry.host}") as wire:
        push_image(wire, "demo/app", image, "1")
        before = state(registry.root)
        answers = [wire.get(manifest_path("demo/app", "1"))]
        answers += [wire.get(blob_path("demo/app", blob.digest)) for blob in image.blobs]
        answers += [wire.get("/v2/demo/app/tags/list"), wire.get("/v2/_catalog")]

    assert {answer.status for answer in answers} == {200}
    assert state(registry.root) == before


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of everything below a folder.

    SQLite's -shm file is no data: it is memory in which processes tell each other what they read.
    """
    found = {path: path.stat() for path in folder.rglob("*") if not path.name.endswith("-shm")}
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found.items()}
