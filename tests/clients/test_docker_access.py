# SPDX-License-Identifier: Apache-2.0
"""The Docker engine at the door: login, anonymous pulls, and TLS with a private authority.

What travels once a client is in is in `test_docker`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.clients.engine import STRICT_HOST
from tests.clients.relay import Relay

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.authority import ServerCertificate
    from tests.clients.conftest import Account
    from tests.clients.engine import Docker
    from tests.support.registry import RunningRegistry

REFUSED = re.compile(r"unauthorized|denied|no basic auth credentials|401", re.IGNORECASE)
DISTRUSTED = re.compile(r"x509|certificate", re.IGNORECASE)


def import_folder(docker: Docker, folder: Path, reference: str) -> None:
    """Give a folder to the engine as an image."""
    archive = docker.sandbox.folder / "root.tar"
    docker.sandbox.run("tar", "-cf", str(archive), "-C", str(folder), ".")
    docker("import", str(archive), reference)


def login(docker: Docker, host: str, account: Account) -> str:
    """Log in with the right password."""
    arguments = ("login", "--username", account.name, "--password-stdin", host)
    return docker(*arguments, stdin=account.password)


def test_login(
    docker: Docker, guarded: RunningRegistry, account: Account, repository: str, busybox_root: Path
) -> None:
    """After a login with the right password, push and pull work; after the logout they do not."""
    reference = f"{guarded.host}/{repository}:1"
    import_folder(docker, busybox_root, reference)
    before = docker.fails("push", reference)
    said = login(docker, guarded.host, account)
    docker("push", reference)
    docker("rmi", reference)
    docker("pull", reference)
    docker("logout", guarded.host)
    after = docker.fails("pull", reference)

    assert REFUSED.search(before), before
    assert "Login Succeeded" in said
    assert REFUSED.search(after), after


@pytest.mark.parametrize("wrong", ["name", "password"])
def test_wrong_login(
    docker: Docker, guarded: RunningRegistry, account: Account, wrong: str
) -> None:
    """A login with a wrong name or password is refused, and nothing is remembered."""
    name = "mallory" if wrong == "name" else account.name
    password = account.password + ("x" if wrong == "password" else "")
    said = docker.fails(
        "login", "--username", name, "--password-stdin", guarded.host, stdin=password
    )

    remembered = docker.sandbox.folder / ".docker" / "config.json"
    assert REFUSED.search(said), said
    assert not remembered.exists() or guarded.host not in remembered.read_text()


def test_anonymous_pull(
    docker: Docker, readable: RunningRegistry, account: Account, repository: str, busybox_root: Path
) -> None:
    """Where everybody may read, a stranger pulls and cannot push; the known user pushes."""
    reference = f"{readable.host}/{repository}:1"
    import_folder(docker, busybox_root, reference)
    stranger = docker.fails("push", reference)
    login(docker, readable.host, account)
    docker("push", reference)
    docker("logout", readable.host)
    docker("rmi", reference)
    docker("pull", reference)

    assert REFUSED.search(stranger), stranger


def test_tls(
    docker: Docker,
    secured: RunningRegistry,
    certificate: ServerCertificate,
    account: Account,
    repository: str,
    busybox_root: Path,
) -> None:
    """With the authority's certificate in certs.d, push and pull go over TLS."""
    reference = f"{secured.host}/{repository}:1"
    import_folder(docker, busybox_root, reference)
    docker.trust(secured.host, certificate.authority)
    try:
        login(docker, secured.host, account)
        docker("push", reference)
        image_id = docker.image_id(reference)
        docker("rmi", reference)
        docker("pull", reference)
    finally:
        docker.distrust(secured.host)

    assert image_id == docker.image_id(reference)


def test_unknown_authority(
    docker: Docker,
    secured: RunningRegistry,
    certificate: ServerCertificate,
    account: Account,
    repository: str,
    busybox_root: Path,
) -> None:
    """Docker refuses the certificate until it has the authority's, and then checks and takes it."""
    unchecked = json.loads(
        docker("info", "--format", "{{json .RegistryConfig.InsecureRegistryCIDRs}}")
    )
    if "::1/128" in unchecked:
        pytest.skip("this Docker engine checks no certificate on the IPv6 loopback either")
    with Relay(secured.port) as relay:
        host = f"{STRICT_HOST}:{relay.port}"
        reference = f"{host}/{repository}:1"
        import_folder(docker, busybox_root, reference)
        arguments = ("login", "--username", account.name, "--password-stdin", host)
        refused = docker.fails(*arguments, stdin=account.password)
        docker.trust(host, certificate.authority)
        try:
            docker(*arguments, stdin=account.password)
            docker("push", reference)
            docker("rmi", reference)
            docker("pull", reference)
        finally:
            docker.distrust(host)

    assert DISTRUSTED.search(refused), refused
