# SPDX-License-Identifier: Apache-2.0
"""The registries, daemons and images that the client tests share, each made once and only if asked.

MOORAGE_TEST_PROGRAM names the registry under test: `moorage` (the default), `docker-registry`, or a
command that serves a configuration file. Every test gets a home and a repository name of its own.
"""

from __future__ import annotations

import os
import shlex
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bcrypt
import pytest

from tests.clients import samples
from tests.clients.authority import ServerCertificate, issue
from tests.clients.engine import STRICT_HOST, Daemon, Docker, containerd, docker_engine
from tests.clients.sandbox import Sandbox, need_root, tool
from tests.support.registry import MOORAGE, RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PROGRAM = os.environ.get("MOORAGE_TEST_PROGRAM", "moorage")
USER = "anna"
PASSWORD = "correct:horse+battery"
KNOWN = {"moorage": MOORAGE, "docker-registry": ("docker-registry", "serve")}


@dataclass(frozen=True, slots=True)
class Account:
    """The one user that the guarded registries know."""

    name: str = USER
    password: str = PASSWORD


def program() -> Sequence[str]:
    """The command that serves a configuration file."""
    return KNOWN.get(PROGRAM) or shlex.split(PROGRAM)


def serve(folder: Path, config: Mapping[str, object]) -> RunningRegistry:
    """A registry of the program under test, not yet started."""
    tool(program()[0])
    return RunningRegistry(folder, config, program=program())


@pytest.fixture(scope="session")
def account() -> Account:
    """Name and password that the guarded registries accept."""
    return Account()


@pytest.fixture(scope="session")
def passwords(tmp_path_factory: pytest.TempPathFactory, account: Account) -> Path:
    """A password file with the one account."""
    path = tmp_path_factory.mktemp("passwords") / "htpasswd"
    hashed = bcrypt.hashpw(account.password.encode(), bcrypt.gensalt(5)).decode()
    path.write_text(f"{account.name}:{hashed}\n")
    return path


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that asks nobody who they are."""
    with serve(tmp_path_factory.mktemp("registry"), {}) as running:
        yield running


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, passwords: Path) -> Iterator[RunningRegistry]:
    """A registry that only the account may use."""
    config = {"auth": {"htpasswd": {"realm": "guarded", "path": str(passwords)}}}
    with serve(tmp_path_factory.mktemp("guarded"), config) as running:
        yield running


@pytest.fixture(scope="session")
def readable(
    tmp_path_factory: pytest.TempPathFactory, passwords: Path
) -> Iterator[RunningRegistry]:
    """A registry that everybody may read and only the account may write."""
    skip_peer()
    htpasswd = {"realm": "readable", "path": str(passwords)}
    config = {"auth": {"htpasswd": htpasswd, "anonymous": "pull"}}
    with serve(tmp_path_factory.mktemp("readable"), config) as running:
        yield running


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    """A certificate for the loopback addresses from an authority that nobody trusts."""
    folder = tmp_path_factory.mktemp("authority")
    return issue(folder, "IP:127.0.0.1", "IP:::1", "DNS:localhost", f"DNS:{STRICT_HOST}")


@pytest.fixture(scope="session")
def secured(
    tmp_path_factory: pytest.TempPathFactory, passwords: Path, certificate: ServerCertificate
) -> Iterator[RunningRegistry]:
    """A registry over TLS that only the account may use."""
    config = {
        "auth": {"htpasswd": {"realm": "secured", "path": str(passwords)}},
        "http": {"tls": {"certificate": str(certificate.certificate), "key": str(certificate.key)}},
    }
    with serve(tmp_path_factory.mktemp("secured"), config) as running:
        yield running


def skip_peer() -> None:
    """Skip what docker-registry does not offer at all."""
    if PROGRAM == "docker-registry":
        pytest.skip("docker-registry 2.8 does not offer this")


@pytest.fixture
def ours() -> None:
    """What the test needs is more than docker-registry offers."""
    skip_peer()


@pytest.fixture
def wire(registry: RunningRegistry) -> Iterator[Wire]:
    """A plain connection to the open registry, to see what a client has left there."""
    with Wire(f"http://{registry.host}") as client:
        yield client


@pytest.fixture
def repository() -> str:
    """A repository name that nobody else uses."""
    return f"clients/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """An empty home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return Sandbox(folder)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A Docker engine of our own."""
    need_root("a Docker engine of our own")
    with docker_engine(tmp_path_factory.mktemp("docker")) as daemon:
        yield daemon


@pytest.fixture
def docker(engine: Daemon, sandbox: Sandbox) -> Docker:
    """The docker command with an empty home."""
    return Docker(engine, sandbox)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A containerd of our own."""
    need_root("a containerd of our own")
    with containerd(tmp_path_factory.mktemp("containerd")) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with busybox and nothing else."""
    return samples.busybox_folder(tmp_path_factory.mktemp("busybox") / "root")


@pytest.fixture(scope="session")
def busybox_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout with the busybox image as `one`."""
    folder = tmp_path_factory.mktemp("layout") / "busybox"
    return samples.image_layout(folder, "one", samples.busybox_image())


@pytest.fixture(scope="session")
def platforms_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout with the index of two platforms as `two`."""
    sample = samples.two_platforms()
    folder = tmp_path_factory.mktemp("layout") / "platforms"
    return samples.write_layout(folder, {"two": sample.manifest}, sample.contents)


@pytest.fixture(scope="session")
def large_root(tmp_path_factory: pytest.TempPathFactory) -> samples.RootFolder:
    """A real root file system of more than 100 MB."""
    need_root("a root file system with its owners and devices")
    return samples.debian_root(tmp_path_factory.mktemp("large") / "root")
