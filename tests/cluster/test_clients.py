# SPDX-License-Identifier: Apache-2.0
"""Real clients before the balancer: what they push meets all replicas, and comes back whole."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.clients.engine import Docker, docker_engine
from tests.clients.samples import busybox_image, image_layout
from tests.clients.sandbox import Sandbox, need_root, tool
from tests.support.grounds import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cluster import Cluster

LAYERS = 6


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """An empty home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return Sandbox(folder)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A Docker engine of our own, and its command."""
    need_root("a Docker engine of our own")
    home = tmp_path_factory.mktemp("home")
    with docker_engine(tmp_path_factory.mktemp("docker")) as engine:
        yield Docker(engine, Sandbox(home))


def test_skopeo(cluster: Cluster, sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    """An image copied in and out again is the same, and every replica has had a part in it."""
    tool("skopeo")
    image = busybox_image()
    layout = image_layout(tmp_path / "layout", "one", image)
    before = cluster.balancer.taken.copy()

    target = f"docker://{cluster.host}/{name}:1"
    sandbox.run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:one", target)
    back = tmp_path / "back"
    sandbox.run("skopeo", "copy", "--src-tls-verify=false", target, f"oci:{back}:one")

    blobs = {path.name for path in (back / "blobs" / "sha256").iterdir()}
    assert {one.digest.partition(":")[2] for one in (image.manifest, *image.blobs)} <= blobs
    assert set(cluster.balancer.taken - before) == set(cluster.balancer.servers)


@pytest.mark.parametrize("cluster", [SERVERS], indirect=True)
def test_docker(cluster: Cluster, docker: Docker, name: str, tmp_path: Path) -> None:
    """Several layers pushed at the same time are pulled as the same image."""
    reference = f"{cluster.host}/{name}:1"
    lines = ["FROM scratch"]
    for number in range(LAYERS):
        (tmp_path / f"file{number}").write_text(uuid.uuid4().hex * 4_000)
        lines.append(f"COPY file{number} /file{number}")
    (tmp_path / "Dockerfile").write_text("\n".join(lines))
    docker("build", "--network", "none", "--tag", reference, str(tmp_path))
    image = docker.image_id(reference)

    docker("push", reference)
    docker("rmi", reference)
    docker("pull", reference)

    assert docker.image_id(reference) == image
