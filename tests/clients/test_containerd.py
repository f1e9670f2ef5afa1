# SPDX-License-Identifier: Apache-2.0
"""containerd's `ctr`: what pulls images on the nodes of a Kubernetes cluster.

containerd checks every digest itself, so an image that it lists under a digest has those bytes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.clients.samples import GREETING, busybox_image, two_platforms
from tests.clients.sandbox import Sandbox, tool
from tests.support.images import OCI_INDEX, OCI_MANIFEST, manifest_path, push_image, random_image
from tests.support.wire import Wire, basic_auth, tls_context

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.authority import ServerCertificate
    from tests.clients.conftest import Account
    from tests.clients.engine import Daemon
    from tests.support.registry import RunningRegistry

NATIVE = ("--snapshotter", "native")
# The hang came in about every third push.
NEW_TAGS = int(os.environ.get("NEW_TAGS", "4"))


@dataclass(frozen=True)
class Ctr:
    """The ctr command with one containerd."""

    node: Daemon
    sandbox: Sandbox

    def __call__(self, *arguments: str) -> str:
        """Run a command that has to succeed; return what it printed."""
        return self.sandbox.run(*self._command(arguments))

    def fails(self, *arguments: str) -> str:
        """Run a command that has to fail; return everything it said."""
        return self.sandbox.fails(*self._command(arguments))

    def digest(self, reference: str) -> str:
        """The digest under which containerd has an image."""
        lines = self("images", "list", f"name=={reference}").splitlines()
        assert len(lines) == 2, lines
        return lines[1].split()[2]

    def contents(self) -> set[str]:
        """The digests of everything containerd holds."""
        return set(self("content", "list", "--quiet").split())

    def load(self, layout: Path, name: str) -> None:
        """Take an OCI layout in, whole; its tags become tags of `name`."""
        archive = self.sandbox.folder / "layout.tar"
        self.sandbox.run("tar", "-cf", str(archive), "-C", str(layout), ".")
        whole = ("--no-unpack", "--all-platforms", "--base-name", name)
        self("images", "import", *whole, str(archive))

    def forget(self, reference: str) -> None:
        """Remove an image and, at once, what only it needed."""
        self("images", "remove", "--sync", reference)

    def _command(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return ("ctr", "--address", f"{self.node.folder}/containerd.sock", *arguments)


@pytest.fixture
def ctr(node: Daemon, sandbox: Sandbox) -> Ctr:
    """The ctr command with an empty home."""
    tool("ctr", "containerd")
    return Ctr(node, sandbox)


def test_round_trip(
    ctr: Ctr, registry: RunningRegistry, wire: Wire, repository: str, busybox_layout: Path
) -> None:
    """A pulled image has the digest that it was pushed with, and it runs."""
    image = busybox_image()
    reference = f"{registry.host}/{repository}:one"
    ctr.load(busybox_layout, f"{registry.host}/{repository}")
    ctr("images", "push", "--plain-http", reference)
    ctr.forget(reference)
    ctr("images", "pull", "--plain-http", *NATIVE, reference)

    answer = wire.get(manifest_path(repository, "one"), ("Accept", OCI_MANIFEST))
    assert answer.body == image.manifest.payload
    assert ctr.digest(reference) == image.manifest.digest
    run = ("run", "--rm", *NATIVE, "--fifo-dir", str(ctr.sandbox.folder / "fifo"))
    assert ctr(*run, reference, repository.replace("/", "-")) == GREETING


def test_all_platforms(
    ctr: Ctr, registry: RunningRegistry, wire: Wire, repository: str, platforms_layout: Path
) -> None:
    """An index is pushed with both its images and pulled whole with `--all-platforms`."""
    sample = two_platforms()
    reference = f"{registry.host}/{repository}:two"
    ctr.load(platforms_layout, f"{registry.host}/{repository}")
    ctr("images", "push", "--plain-http", reference)
    ctr.forget(reference)
    ctr("images", "pull", "--plain-http", *NATIVE, "--all-platforms", reference)

    answer = wire.get(manifest_path(repository, "two"), ("Accept", OCI_INDEX))
    assert answer.body == sample.manifest.payload
    assert ctr.digest(reference) == sample.manifest.digest
    assert ctr.contents() >= {content.digest for content in sample.contents}


def test_pull_by_digest(ctr: Ctr, registry: RunningRegistry, wire: Wire, repository: str) -> None:
    """An image that has no tag is pulled by its digest, as a pod specification pins it."""
    image = random_image(layers=3)
    push_image(wire, repository, image)
    reference = f"{registry.host}/{repository}@{image.manifest.digest}"
    ctr("images", "pull", "--plain-http", *NATIVE, reference)

    assert ctr.digest(reference) == image.manifest.digest
    assert ctr.contents() >= {blob.digest for blob in image.blobs}


def test_missing_image(ctr: Ctr, registry: RunningRegistry, repository: str) -> None:
    """A pull of what is not there ends with `not found`."""
    said = ctr.fails("images", "pull", "--plain-http", f"{registry.host}/{repository}:none")

    assert "not found" in said


def test_new_tags_of_old_content(
    ctr: Ctr, readable: RunningRegistry, account: Account, repository: str, busybox_layout: Path
) -> None:
    """Where everybody may read, a push of nothing but a manifest does not hang.

    containerd 1.6 sends the body of a manifest once: a challenge that comes only then is too late.
    """
    user = ("--plain-http", "--user", f"{account.name}:{account.password}")
    name = f"{readable.host}/{repository}"
    ctr.load(busybox_layout, name)
    ctr("images", "push", *user, f"{name}:one")
    for number in range(NEW_TAGS):
        ctr("images", "tag", f"{name}:one", f"{name}:{number}")
        ctr("images", "push", *user, f"{name}:{number}")
        ctr.forget(f"{name}:{number}")
    ctr("images", "pull", "--plain-http", *NATIVE, f"{name}:0")

    assert ctr.digest(f"{name}:0") == busybox_image().manifest.digest


def hosts_folder(folder: Path, host: str, authority: Path | None) -> str:
    """Containerd's certs.d with one host, which is reached over TLS with the authority's word."""
    settings = folder / host
    settings.mkdir(parents=True)
    trust = "" if authority is None else f'ca = "{authority}"\n'
    (settings / "hosts.toml").write_text(
        f'server = "https://{host}"\n[host."https://{host}"]\n{trust}'
    )
    return str(folder)


def test_login_over_tls(
    ctr: Ctr,
    secured: RunningRegistry,
    certificate: ServerCertificate,
    account: Account,
    repository: str,
) -> None:
    """Over checked TLS a wrong password is refused and a right one pulls."""
    image = random_image()
    trusting = tls_context(certificate.authority)
    known = basic_auth(account.name, account.password)
    with Wire(f"https://{secured.host}", [known], tls=trusting) as wire:
        push_image(wire, repository, image, "1")
    reference = f"{secured.host}/{repository}:1"
    trusted = hosts_folder(ctr.sandbox.folder / "trusted", secured.host, certificate.authority)
    untrusted = hosts_folder(ctr.sandbox.folder / "untrusted", secured.host, None)
    pull = ("images", "pull", *NATIVE, "--user")
    right = f"{account.name}:{account.password}"
    wrong = ctr.fails(*pull, f"{account.name}:wrong", "--hosts-dir", trusted, reference)
    distrusted = ctr.fails(*pull, right, "--hosts-dir", untrusted, reference)
    ctr(*pull, right, "--hosts-dir", trusted, reference)

    assert re.search(r"unauthorized|401|authorization failed", wrong, re.IGNORECASE), wrong
    assert "certificate" in distrusted
    assert ctr.digest(reference) == image.manifest.digest
