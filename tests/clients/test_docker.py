# SPDX-License-Identifier: Apache-2.0
"""The Docker engine with its classic image store: push, pull, build and run.

Every test imports a root folder that no other test has, so that a pull after `rmi` has to fetch
every layer. Who may push and pull, and over what, is in `test_docker_access`.
"""

from __future__ import annotations

import re
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.clients.samples import GREETING
from tests.support.images import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, manifest_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.engine import Docker
    from tests.support.registry import RunningRegistry
    from tests.support.wire import Wire

SAY_GREETING = f'CMD ["/bin/busybox","echo","{GREETING}"]'


@pytest.fixture
def unique_tar(busybox_root: Path, tmp_path: Path) -> Path:
    """Busybox and a file that makes the layer unlike any other."""
    mark = tmp_path / "mark"
    mark.write_text(uuid.uuid4().hex)
    archive = tmp_path / "root.tar"
    subprocess.run(
        ["tar", "-cf", archive, "-C", busybox_root, ".", "-C", tmp_path, "mark"], check=True
    )
    return archive


def stored_digest(wire: Wire, repository: str, reference: str) -> str:
    """The digest that the registry gives for a reference."""
    answer = wire.head(manifest_path(repository, reference), ("Accept", DOCKER_MANIFEST))
    assert answer.status == 200, answer
    return answer.headers["Docker-Content-Digest"]


def printed_digest(output: str) -> str:
    """The digest that `docker push` has printed."""
    found = re.search(r"digest: (sha256:[0-9a-f]{64})", output)
    assert found is not None, output
    return found[1]


def test_round_trip(
    docker: Docker, registry: RunningRegistry, wire: Wire, repository: str, unique_tar: Path
) -> None:
    """A pulled image has the id and the digest that it was pushed with, and it runs."""
    reference = f"{registry.host}/{repository}:1"
    docker("import", "--change", SAY_GREETING, str(unique_tar), reference)
    image_id = docker.image_id(reference)
    digest = printed_digest(docker("push", reference))
    docker("rmi", reference)
    docker("pull", reference)

    assert digest == stored_digest(wire, repository, "1")
    assert digest == docker.pushed_digest(reference)
    assert image_id == docker.image_id(reference)
    assert docker("run", "--rm", "--network", "none", reference) == GREETING


def test_pull_by_digest(
    docker: Docker, registry: RunningRegistry, repository: str, unique_tar: Path
) -> None:
    """An image is pulled by its digest when its tag is not known to the engine."""
    reference = f"{registry.host}/{repository}:1"
    docker("import", "--change", SAY_GREETING, str(unique_tar), reference)
    image_id = docker.image_id(reference)
    digest = printed_digest(docker("push", reference))
    docker("rmi", reference)
    by_digest = f"{registry.host}/{repository}@{digest}"
    docker("pull", by_digest)

    assert image_id == docker.image_id(by_digest)
    assert docker("run", "--rm", "--network", "none", by_digest) == GREETING


def test_build_from_the_registry(
    docker: Docker, registry: RunningRegistry, repository: str, unique_tar: Path, tmp_path: Path
) -> None:
    """A build fetches its base image from the registry, and its result can be pushed and run."""
    base = f"{registry.host}/{repository}/base:1"
    docker("import", str(unique_tar), base)
    docker("push", base)
    docker("rmi", base)
    context = tmp_path / "context"
    context.mkdir()
    (context / "greeting").write_text(GREETING)
    (context / "Dockerfile").write_text(
        f"FROM {base}\n"
        "COPY greeting /greeting\n"
        'RUN ["/bin/busybox", "cp", "/greeting", "/copy"]\n'
        'CMD ["/bin/busybox", "cat", "/copy"]\n'
    )
    built = f"{registry.host}/{repository}/app:1"
    docker("build", "--network", "none", "--tag", built, str(context))
    docker("push", built)
    docker("rmi", "--force", built, base)
    docker("pull", built)

    assert docker("run", "--rm", "--network", "none", built) == GREETING


def test_many_layers_at_once(
    docker: Docker, registry: RunningRegistry, wire: Wire, repository: str, tmp_path: Path
) -> None:
    """Twelve layers, pushed and pulled several at a time, come back as the same image."""
    reference = f"{registry.host}/{repository}:many"
    lines = ["FROM scratch"]
    for number in range(12):
        (tmp_path / f"file{number}").write_text(uuid.uuid4().hex * 4000)
        lines.append(f"COPY file{number} /file{number}")
    (tmp_path / "Dockerfile").write_text("\n".join(lines))
    docker("build", "--network", "none", "--tag", reference, str(tmp_path))
    image_id = docker.image_id(reference)
    digest = printed_digest(docker("push", reference))
    docker("rmi", reference)
    docker("pull", reference)

    answer = wire.get(manifest_path(repository, digest), ("Accept", DOCKER_MANIFEST))
    document = answer.json()
    assert isinstance(document, dict)
    assert len(document["layers"]) == 12
    assert image_id == docker.image_id(reference)


def test_pull_all_tags(
    docker: Docker, registry: RunningRegistry, repository: str, unique_tar: Path
) -> None:
    """`pull --all-tags` finds every tag of the repository."""
    references = [f"{registry.host}/{repository}:{tag}" for tag in ("1", "1.0", "latest")]
    for reference in references:
        docker("import", "--change", f"LABEL tag={reference[-3:]}", str(unique_tar), reference)
        docker("push", reference)
    ids = [docker.image_id(reference) for reference in references]
    docker("rmi", *references)
    docker("pull", "--all-tags", f"{registry.host}/{repository}")

    assert ids == [docker.image_id(reference) for reference in references]


def test_push_all_tags(
    docker: Docker, registry: RunningRegistry, wire: Wire, repository: str, unique_tar: Path
) -> None:
    """`push --all-tags` moves every tag of the repository to the registry."""
    for tag in ("b", "a", "c"):
        docker("import", str(unique_tar), f"{registry.host}/{repository}:{tag}")
    docker("push", "--all-tags", f"{registry.host}/{repository}")

    listed = wire.get(f"/v2/{repository}/tags/list").json()
    assert isinstance(listed, dict)
    assert sorted(listed["tags"]) == ["a", "b", "c"]


def test_layers_move_between_repositories(
    docker: Docker, registry: RunningRegistry, repository: str, unique_tar: Path
) -> None:
    """A layer that another repository has is mounted, and one the repository has is not sent."""
    first, second = (f"{registry.host}/{repository}/{name}:1" for name in ("first", "second"))
    docker("import", str(unique_tar), first)
    docker("push", first)
    docker("tag", first, second)
    mounted = docker("push", second)
    again = docker("push", second)

    assert f"Mounted from {repository}/first" in mounted
    assert "Layer already exists" in again


def test_moved_tag(
    docker: Docker, registry: RunningRegistry, repository: str, unique_tar: Path
) -> None:
    """A pull fetches what the tag names now, not what it named before."""
    reference = f"{registry.host}/{repository}:latest"
    docker("import", "--change", "LABEL version=1", str(unique_tar), reference)
    docker("push", reference)
    docker("import", "--change", SAY_GREETING, str(unique_tar), reference)
    newer = docker.image_id(reference)
    docker("push", reference)
    docker("rmi", reference)
    docker("pull", reference)

    assert newer == docker.image_id(reference)


def test_manifest_list(
    docker: Docker, registry: RunningRegistry, wire: Wire, repository: str, unique_tar: Path
) -> None:
    """`docker manifest` puts a list over two images, and a pull takes the machine's own."""
    native, foreign, both = (
        f"{registry.host}/{repository}:{tag}" for tag in ("native", "foreign", "both")
    )
    if docker.start("manifest", "--help").code != 0:
        pytest.skip("this docker has no `docker manifest` (Debian package docker-cli or docker.io)")
    docker("import", "--change", SAY_GREETING, str(unique_tar), native)
    docker("import", "--change", "LABEL other=yes", str(unique_tar), foreign)
    image_id = docker.image_id(native)
    docker("push", native)
    docker("push", foreign)
    docker("manifest", "create", "--insecure", both, native, foreign)
    docker("manifest", "annotate", "--os", "linux", "--arch", "s390x", both, foreign)
    digest = docker("manifest", "push", "--insecure", both)
    docker("rmi", native, foreign)
    docker("pull", both)

    answer = wire.get(manifest_path(repository, "both"), ("Accept", DOCKER_MANIFEST_LIST))
    assert answer.headers["Content-Type"] == DOCKER_MANIFEST_LIST
    assert answer.headers["Docker-Content-Digest"] == digest
    assert image_id == docker.image_id(both)


def test_unknown_image(docker: Docker, registry: RunningRegistry, repository: str) -> None:
    """A pull of what is not there says so, in the words Docker keeps for that."""
    said = docker.fails("pull", f"{registry.host}/{repository}:none")

    assert re.search(r"manifest unknown|not found", said), said
