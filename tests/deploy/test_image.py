# SPDX-License-Identifier: Apache-2.0
"""The container image of the registry itself: built without Docker and without a download, carried
through a registry, and run.

The base is made of this machine's Python, so what is said of sizes is what the image adds to it.
"""

from __future__ import annotations

import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from moorage import __version__
from tests.clients.sandbox import Sandbox, need_root, tool
from tests.deploy.machine_base import make_base, make_wheels, wheel_of_the_checkout
from tests.deploy.places import DEPLOY, ROOT
from tests.support.registry import RunningRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "localhost/base:1"
IMAGE = "localhost/moorage:test"
MEGABYTE = 1 << 20
# Interpreters of other packages grow; twice of what is added now (70 MB) would be a mistake.
MOST_ADDED = 140 * MEGABYTE
NOBODY = "65532"
# podman would raise these limits, which a container inside another is not allowed to.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
RUN = ("podman", "run", "--network", "none", *LIMITS)

SERVE = """
podman run --detach --no-healthcheck --network none --read-only --name registry "$@"
trap 'podman rm --force registry >/dev/null' EXIT
tries=0
until podman exec registry /opt/moorage/bin/python3 -I /opt/moorage/start.py healthcheck; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then podman logs registry >&2; exit 1; fi
    sleep 0.1
done
# podman itself runs health checks by timers of systemd, which need not be here.
podman exec registry wget -q -O - "http://127.0.0.1:${PORT:-5000}/v2/_catalog"
podman exec registry sh -c 'ls -ld /var/lib/registry; cat /proc/1/status | grep ^Uid'
podman stop --time 20 registry >/dev/null
echo "exit $(podman inspect --format '{{.State.ExitCode}}' registry)"
podman logs registry
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A home whose image store holds the image."""
    for name in ("buildah", "podman", "skopeo"):
        tool(name)
    need_root("a root file system")
    folder = tmp_path_factory.mktemp("image")
    home = Sandbox(folder)
    make_base(folder / "base")
    wheels(folder)
    home.run(
        *("sh", "-ec"),
        f"container=$(buildah from scratch); buildah add --quiet $container {folder}/base /;"
        f" buildah commit --quiet --rm $container {BASE}",
    )
    printed = home.start(
        *(str(DEPLOY / "image" / "build"), "--base", BASE, "--tag", IMAGE),
        *("--wheels", str(folder / "wheels")),
    )
    assert printed.code == 0, str(printed)
    return home


def wheels(folder: Path) -> None:
    """The wheel under test where there is one, else one of the checkout, and what it needs."""
    tested = os.environ.get("MOORAGE_TEST_WHEEL")
    (folder / "own").mkdir()
    wheel = ROOT / tested if tested else wheel_of_the_checkout(folder / "own")
    make_wheels(folder / "wheels", wheel)


def about(sandbox: Sandbox, image: str = IMAGE) -> dict[str, Any]:
    """What podman knows of an image."""
    (found,) = json.loads(sandbox.run("podman", "image", "inspect", image))
    assert isinstance(found, dict)
    return found


def test_image_is_small(sandbox: Sandbox) -> None:
    """The registry with everything it can use adds little to its base, in a single layer."""
    image, base = about(sandbox), about(sandbox, BASE)

    assert image["Size"] - base["Size"] < MOST_ADDED
    assert len(image["RootFS"]["Layers"]) == len(base["RootFS"]["Layers"]) + 1


def test_image_says_how_to_run_it(sandbox: Sandbox) -> None:
    """User, port, volume, health check and stop signal are in the image's configuration."""
    image = about(sandbox)
    config = image["Config"]

    assert image["User"] == f"{NOBODY}:{NOBODY}"
    assert set(config["ExposedPorts"]) == {"5000/tcp"}
    assert set(config["Volumes"]) == {"/var/lib/registry"}
    assert config["StopSignal"] == "SIGTERM"
    assert image["Healthcheck"]["Test"][-1] == "healthcheck"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__


def test_same_sources_make_the_same_image(sandbox: Sandbox) -> None:
    """Building again gives the same layers."""
    again = "localhost/moorage:again"
    sandbox.run(
        *(str(DEPLOY / "image" / "build"), "--base", BASE, "--tag", again),
        *("--wheels", str(sandbox.folder / "wheels"), "--no-cache"),
    )

    assert about(sandbox, again)["RootFS"] == about(sandbox)["RootFS"]


def test_nobody_may_change_the_program(sandbox: Sandbox) -> None:
    """Only the data folder belongs to the image's user, and nothing else can be written by it."""
    archive = sandbox.folder / "image.tar"
    sandbox.run(
        *("sh", "-ec"),
        f"container=$(podman create {IMAGE}); podman export --output {archive} $container;"
        " podman rm $container >/dev/null",
    )
    with tarfile.open(archive) as files:
        ours = {
            member.name: member
            for member in files
            if member.name.startswith(("opt/moorage", "etc/", "var/lib/registry"))
        }

    assert ours["var/lib/registry"].uid == int(NOBODY)
    for name, member in ours.items():
        writable = member.mode & 0o022 and not member.issym()
        assert name == "var/lib/registry" or (member.uid == 0 and not writable), name
    assert any(name.endswith(".pyc") for name in ours)


def test_carried_through_a_registry(sandbox: Sandbox, tmp_path: Path) -> None:
    """The registry stores its own image: pushed, inspected, pulled and run."""
    with RunningRegistry(tmp_path / "registry") as registry:
        remote = f"{registry.host}/moorage/moorage:{__version__}"
        sandbox.run("buildah", "push", "--tls-verify=false", IMAGE, f"docker://{remote}")
        inspect = ("skopeo", "inspect", "--tls-verify=false", f"docker://{remote}")
        layers = json.loads(sandbox.run(*inspect))["Layers"]
        sandbox.run("podman", "pull", "--quiet", "--tls-verify=false", remote)

        printed = sandbox.run(*RUN, "--rm", "--read-only", remote, "--version")

    assert printed == f"moorage {__version__}"
    assert len(layers) == 2


def test_serves(sandbox: Sandbox) -> None:
    """Without any argument it serves on port 5000 from /var/lib/registry, as nobody, on a read-only
    file system, is found healthy, and ends with 0 when it is told to stop.
    """
    printed = sandbox.run("sh", "-ec", SERVE, "sh", *LIMITS, IMAGE)

    assert '{"repositories":[]}' in printed
    assert f"Uid:\t{NOBODY}" in printed
    assert "exit 0" in printed


@pytest.fixture(
    params=[
        "/etc/docker/registry/config.yml",
        "/etc/distribution/config.yml",
        "/etc/moorage/config.yml",
    ]
)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where registry:2, registry:3 and we expect the configuration."""
    return request.param  # type: ignore[no-any-return]


def test_configuration_is_found(sandbox: Sandbox, place: str, tmp_path: Path) -> None:
    """A file mounted at any of the three places is the one that is used."""
    config = tmp_path / "config.yml"
    config.write_text(
        "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\n"
        "http: {addr: ':5055'}\n"
    )
    mount = f"{config}:{place}:ro"

    sandbox.environment["PORT"] = "5055"
    try:
        printed = sandbox.run("sh", "-ec", SERVE, "sh", *LIMITS, "--volume", mount, IMAGE)
    finally:
        del sandbox.environment["PORT"]

    assert '{"repositories":[]}' in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("/etc/docker/registry/config.yml",),
        ("registry", "serve", "/etc/docker/registry/config.yml"),
        ("serve", "--workers", "2"),
    ],
    ids=" ".join,
)
def test_arguments_of_the_other_image(sandbox: Sandbox, arguments: tuple[str, ...]) -> None:
    """What people write behind the name of registry:2's image starts this one."""
    printed = sandbox.run("sh", "-ec", SERVE, "sh", *LIMITS, IMAGE, *arguments)

    assert '{"repositories":[]}' in printed


def test_other_commands(sandbox: Sandbox) -> None:
    """Commands of the registry and programs of the base can be run."""
    line = sandbox.run(*RUN, "--rm", IMAGE, "htpasswd", "--help")
    shell = sandbox.run(*RUN, "--rm", IMAGE, "sh", "-c", "id -u")
    program = sandbox.run(*RUN, "--rm", "--entrypoint", "registry", IMAGE, "--version")

    assert "htpasswd" in line
    assert shell == NOBODY
    assert program == f"moorage {__version__}"


def test_extras_are_there(sandbox: Sandbox) -> None:
    """PostgreSQL and object stores need no other image."""
    command = ("/opt/moorage/bin/python3", "-c", "import asyncpg, obstore; print('both')")

    assert sandbox.run(*RUN, "--rm", IMAGE, *command) == "both"
