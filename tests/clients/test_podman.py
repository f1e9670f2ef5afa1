# SPDX-License-Identifier: Apache-2.0
"""podman and buildah: push, pull, build, run and log in, each test with an image store of its own.

skopeo shares their way of speaking to a registry; what it covers is not repeated here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.clients.samples import GREETING, busybox_image, two_platforms
from tests.clients.sandbox import Sandbox, need_root, tool
from tests.support.images import OCI_INDEX, OCI_MANIFEST, manifest_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.authority import ServerCertificate
    from tests.clients.conftest import Account
    from tests.support.registry import RunningRegistry
    from tests.support.wire import Wire

PLAIN = "--tls-verify=false"
# podman would raise these limits, which a container inside another is not allowed to.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
RUN = ("run", "--network", "none", *LIMITS)
REFUSED = re.compile(r"unauthorized|authentication required|invalid username", re.IGNORECASE)


@pytest.fixture(autouse=True)
def programs() -> None:
    """Every test here needs the right to make root file systems."""
    need_root("an image store with root's files")


@pytest.fixture
def podman(sandbox: Sandbox) -> Sandbox:
    """A home with an empty image store, for podman."""
    tool("podman")
    return sandbox


@pytest.fixture
def buildah(sandbox: Sandbox) -> Sandbox:
    """A home with an empty image store, for buildah."""
    tool("buildah")
    return sandbox


def stored_digest(wire: Wire, repository: str, reference: str) -> str:
    """The digest that the registry gives for a reference."""
    answer = wire.head(manifest_path(repository, reference), ("Accept", OCI_MANIFEST))
    assert answer.status == 200, answer
    return answer.headers["Docker-Content-Digest"]


def fetched(wire: Wire, repository: str, reference: str, media_type: str) -> dict[str, Any]:
    """A manifest as the registry gives it, decoded."""
    answer = wire.get(manifest_path(repository, reference), ("Accept", media_type))
    assert answer.headers["Content-Type"] == media_type, answer
    return cast("dict[str, Any]", answer.json())


def test_podman_round_trip(
    podman: Sandbox, registry: RunningRegistry, wire: Wire, repository: str, busybox_layout: Path
) -> None:
    """A pulled image has the id and digest that it was pushed with, and it runs."""
    reference = f"{registry.host}/{repository}:1"
    image_id = podman.run("podman", "pull", f"oci:{busybox_layout}:one").splitlines()[-1]
    podman.run("podman", "tag", image_id, reference)
    written = podman.folder / "digest"
    podman.run("podman", "push", PLAIN, "--digestfile", str(written), reference)
    podman.run("podman", "rmi", "--all", "--force")
    podman.run("podman", "pull", PLAIN, reference)

    (seen,) = json.loads(podman.run("podman", "image", "inspect", reference))
    assert seen["Id"] == image_id == busybox_image().config.digest.partition(":")[2]
    assert seen["Digest"] == written.read_text() == stored_digest(wire, repository, "1")
    assert podman.run("podman", *RUN, reference) == GREETING


def test_podman_build(
    podman: Sandbox, registry: RunningRegistry, repository: str, busybox_layout: Path
) -> None:
    """A build fetches its base image from the registry; its result is pushed, pulled and run."""
    base, built = (f"{registry.host}/{repository}/{name}:1" for name in ("base", "app"))
    image_id = podman.run("podman", "pull", f"oci:{busybox_layout}:one").splitlines()[-1]
    podman.run("podman", "push", PLAIN, image_id, f"docker://{base}")
    podman.run("podman", "rmi", "--all", "--force")
    context = podman.folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM {base}\n"
        f'RUN ["/bin/busybox", "sh", "-c", "echo {GREETING} > /greeting"]\n'
        'CMD ["/bin/busybox", "cat", "/greeting"]\n'
    )
    podman.run("podman", "build", PLAIN, "--isolation", "chroot", "--tag", built, str(context))
    podman.run("podman", "push", PLAIN, built)
    podman.run("podman", "rmi", "--all", "--force")
    podman.run("podman", "pull", PLAIN, built)

    assert podman.run("podman", *RUN, built) == GREETING


def test_podman_manifest(
    podman: Sandbox, registry: RunningRegistry, wire: Wire, repository: str, platforms_layout: Path
) -> None:
    """`podman manifest push --all` stores an index over both images under one tag."""
    remote = f"{registry.host}/{repository}"
    podman.run(
        *("podman", "manifest", "create", "--all", "local/list"),
        f"oci:{platforms_layout}:two",
    )
    target = f"docker://{remote}:list"
    podman.run("podman", "manifest", "push", PLAIN, "--all", "local/list", target)

    document = fetched(wire, repository, "list", OCI_INDEX)
    children = [
        fetched(wire, repository, child["digest"], OCI_MANIFEST) for child in document["manifests"]
    ]
    # podman may compress a layer anew, so the images are recognized by their configs.
    assert {child["config"]["digest"] for child in children} == {
        child.config.digest for child in two_platforms().children
    }


def test_podman_login(
    podman: Sandbox,
    secured: RunningRegistry,
    certificate: ServerCertificate,
    account: Account,
    repository: str,
    busybox_layout: Path,
) -> None:
    """Over checked TLS a wrong password is refused, and a right one pushes and pulls."""
    trust = ("--cert-dir", str(certificate.trust))
    reference = f"{secured.host}/{repository}:1"
    image_id = podman.run("podman", "pull", f"oci:{busybox_layout}:one").splitlines()[-1]
    login = ("podman", "login", *trust, "--username", account.name, "--password-stdin")
    push = ("podman", "push", *trust, image_id, f"docker://{reference}")
    wrong = podman.fails(*login, secured.host, stdin=account.password + "x")
    stranger = podman.fails(*push)
    podman.run(*login, secured.host, stdin=account.password)
    podman.run(*push)
    podman.run("podman", "rmi", "--all", "--force")
    podman.run("podman", "pull", *trust, reference)
    podman.run("podman", "logout", secured.host)
    logged_out = podman.fails("podman", "pull", *trust, reference)

    assert REFUSED.search(wrong), wrong
    assert REFUSED.search(stranger), stranger
    assert REFUSED.search(logged_out), logged_out


def test_podman_anonymous_pull(
    podman: Sandbox,
    readable: RunningRegistry,
    account: Account,
    repository: str,
    busybox_layout: Path,
) -> None:
    """Where everybody may read, a stranger pulls and cannot push."""
    reference = f"{readable.host}/{repository}:1"
    image_id = podman.run("podman", "pull", f"oci:{busybox_layout}:one").splitlines()[-1]
    push = ("podman", "push", PLAIN, image_id, f"docker://{reference}")
    stranger = podman.fails(*push)
    podman.run(*push, "--creds", f"{account.name}:{account.password}")
    podman.run("podman", "rmi", "--all", "--force")
    podman.run("podman", "pull", PLAIN, reference)

    assert REFUSED.search(stranger), stranger


def test_podman_search(
    podman: Sandbox, registry: RunningRegistry, repository: str, busybox_layout: Path
) -> None:
    """`podman search` finds a repository in the catalog and its tags in the list of tags."""
    reference = f"{registry.host}/{repository}"
    image_id = podman.run("podman", "pull", f"oci:{busybox_layout}:one").splitlines()[-1]
    podman.run("podman", "push", PLAIN, image_id, f"docker://{reference}:1")
    found = podman.run("podman", "search", PLAIN, f"{registry.host}/{repository[:-2]}")
    tags = podman.run("podman", "search", PLAIN, "--list-tags", reference)

    assert reference in found
    assert tags.splitlines()[-1].split() == [reference, "1"]


def test_buildah_from_nothing(
    buildah: Sandbox, registry: RunningRegistry, wire: Wire, repository: str, busybox_root: Path
) -> None:
    """An image made from an empty one is pushed, and is the base of the next build elsewhere."""
    reference = f"{registry.host}/{repository}:1"
    container = buildah.run("buildah", "from", "scratch")
    buildah.run("buildah", "add", container, str(busybox_root), "/")
    buildah.run("buildah", "config", "--cmd", '["/bin/busybox"]', container)
    buildah.run("buildah", "commit", "--rm", container, reference)
    written = buildah.folder / "digest"
    buildah.run("buildah", "push", PLAIN, "--digestfile", str(written), reference)
    buildah.run("buildah", "rmi", "--all", "--force")
    again = buildah.run("buildah", "from", PLAIN, "--pull-always", reference)
    said = buildah.run("buildah", "run", again, "/bin/busybox", "echo", GREETING)

    assert written.read_text() == stored_digest(wire, repository, "1")
    assert said == GREETING


def test_buildah_cache(
    buildah: Sandbox, registry: RunningRegistry, repository: str, busybox_layout: Path
) -> None:
    """A second build in an empty store takes its steps from a cache repository."""
    help_text = buildah.start("buildah", "build", "--help").text
    if "--cache-from" not in help_text:
        pytest.skip("this buildah has no build --cache-from")
    base = f"{registry.host}/{repository}/base:1"
    layout = f"oci:{busybox_layout}:one"
    buildah.run("buildah", "pull", layout)
    image_id = buildah.run("buildah", "images", "--quiet", "--no-trunc").splitlines()[0]
    buildah.run("buildah", "push", PLAIN, image_id, f"docker://{base}")
    context = buildah.folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f'FROM {base}\nRUN ["/bin/busybox", "sh", "-c", "echo {GREETING} > /greeting"]\n'
    )
    cache = f"{registry.host}/{repository}/cache"
    build = ("buildah", "build", PLAIN, "--network", "none", "--layers", "--cache-from", cache)
    first = buildah.start(*build, "--cache-to", cache, str(context))
    buildah.run("buildah", "rmi", "--all", "--force")
    second = buildah.start(*build, str(context))

    assert first.code == 0, first
    assert second.code == 0, second
    assert re.search(r"[Uu]sing cache|Cache pulled", second.text), second
