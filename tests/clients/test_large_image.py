# SPDX-License-Identifier: Apache-2.0
"""One image as large as real ones: a Debian of more than 100 MB, from client to client.

It is made once, pushed by Docker and pulled by everybody who is here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.clients.samples import LARGE, RootFolder
from tests.clients.sandbox import Sandbox, tool
from tests.clients.test_containerd import NATIVE, Ctr
from tests.clients.test_docker import printed_digest
from tests.support.images import DOCKER_MANIFEST, blob_path, digest_of, manifest_path
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.engine import Daemon, Docker
    from tests.support.registry import RunningRegistry

REPOSITORY = "clients/large"


@pytest.fixture(scope="module")
def wire_to_registry(registry: RunningRegistry) -> Iterator[Wire]:
    """A plain connection for the whole module."""
    with Wire(f"http://{registry.host}") as client:
        yield client


@pytest.fixture
def pushed(
    docker: Docker, registry: RunningRegistry, wire_to_registry: Wire, large_root: RootFolder
) -> tuple[str, str]:
    """Reference and digest of the large image, pushed by Docker if it is not there yet."""
    reference = f"{registry.host}/{REPOSITORY}/{large_root.name}:1"
    path = manifest_path(f"{REPOSITORY}/{large_root.name}", "1")
    answer = wire_to_registry.head(path, ("Accept", DOCKER_MANIFEST))
    if answer.status == 200:
        return reference, answer.headers["Docker-Content-Digest"]
    archive = docker.sandbox.folder / "root.tar"
    docker.sandbox.run("tar", "-cf", str(archive), "-C", str(large_root.folder), ".")
    assert archive.stat().st_size > LARGE
    docker("import", "--change", 'CMD ["/usr/bin/dpkg","-l"]', str(archive), reference)
    archive.unlink()
    return reference, printed_digest(docker("push", reference))


def test_docker(docker: Docker, pushed: tuple[str, str], large_root: RootFolder) -> None:
    """Docker pulls the image back as it was pushed, and its package manager knows its packages."""
    reference, digest = pushed
    before = docker.start("image", "inspect", "--format", "{{.Id}}", reference).output
    docker.start("rmi", reference)
    docker("pull", reference)

    assert docker.pushed_digest(reference) == digest
    assert before.strip() in {"", docker.image_id(reference)}
    if large_root.version:
        assert "dpkg" in docker("run", "--rm", "--network", "none", reference)


def test_bytes(wire_to_registry: Wire, pushed: tuple[str, str], large_root: RootFolder) -> None:
    """The layer that the registry serves has the length and the digest that the manifest says."""
    name = f"{REPOSITORY}/{large_root.name}"
    accept = ("Accept", DOCKER_MANIFEST)
    answer = wire_to_registry.get(manifest_path(name, pushed[1]), accept)
    (layer,) = json.loads(answer.body)["layers"]
    blob = wire_to_registry.get(blob_path(name, layer["digest"]))

    assert digest_of(answer.body) == pushed[1]
    assert len(blob.body) == layer["size"] == int(blob.headers["Content-Length"])
    assert digest_of(blob.body) == layer["digest"]


def test_skopeo(sandbox: Sandbox, pushed: tuple[str, str]) -> None:
    """Skopeo copies the image out of the registry and checks every digest on the way."""
    tool("skopeo")
    reference, digest = pushed
    kept = sandbox.folder / "kept"
    sandbox.run("skopeo", "copy", "--src-tls-verify=false", f"docker://{reference}", f"dir:{kept}")

    assert digest_of((kept / "manifest.json").read_bytes()) == digest


def test_containerd(node: Daemon, sandbox: Sandbox, pushed: tuple[str, str]) -> None:
    """Containerd pulls and unpacks the image."""
    reference, digest = pushed
    ctr = Ctr(node, sandbox)
    ctr("images", "pull", "--plain-http", *NATIVE, reference)

    assert ctr.digest(reference) == digest
