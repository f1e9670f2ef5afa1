# SPDX-License-Identifier: Apache-2.0
"""skopeo: copy in every direction, inspect, list, delete, synchronize, log in.

The images come from OCI layouts whose digests are known beforehand, so each test can say exactly
which bytes the registry must hold and give back.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, cast

import pytest

from tests.clients.samples import busybox_image, image_layout, two_platforms
from tests.clients.sandbox import Sandbox, tool
from tests.support.images import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
    manifest_path,
    push_image,
    random_image,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.authority import ServerCertificate
    from tests.clients.conftest import Account
    from tests.support.registry import RunningRegistry
    from tests.support.wire import Wire

PLAIN = ("--src-tls-verify=false", "--dest-tls-verify=false")
REFUSED = re.compile(r"unauthorized|authentication required|invalid username", re.IGNORECASE)


@pytest.fixture(autouse=True)
def skopeo() -> None:
    """Every test here needs the program."""
    tool("skopeo")


def stored(wire: Wire, repository: str, reference: str) -> tuple[str, bytes]:
    """Type and bytes of a manifest as the registry gives them."""
    accept = f"{OCI_MANIFEST}, {OCI_INDEX}, {DOCKER_MANIFEST}"
    answer = wire.get(manifest_path(repository, reference), ("Accept", accept))
    assert answer.status == 200, answer
    return answer.headers["Content-Type"], answer.body


def layout_blobs(folder: Path) -> set[str]:
    """The digests of everything in an OCI layout, each checked against its content."""
    found = set()
    for path in (folder / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        found.add(f"sha256:{path.name}")
    return found


def test_copy_there_and_back(
    sandbox: Sandbox,
    registry: RunningRegistry,
    wire: Wire,
    repository: str,
    busybox_layout: Path,
    tmp_path: Path,
) -> None:
    """An image copied to the registry and back into a layout has the same bytes throughout."""
    image = busybox_image()
    remote = f"docker://{registry.host}/{repository}:1"
    sandbox.run("skopeo", "copy", *PLAIN, f"oci:{busybox_layout}:one", remote)
    sandbox.run("skopeo", "copy", *PLAIN, remote, f"oci:{tmp_path}/back:one")

    assert stored(wire, repository, "1") == (OCI_MANIFEST, image.manifest.payload)
    assert layout_blobs(tmp_path / "back") == {
        content.digest for content in (*image.blobs, image.manifest)
    }


def test_copy_all_platforms(
    sandbox: Sandbox,
    registry: RunningRegistry,
    wire: Wire,
    repository: str,
    platforms_layout: Path,
    tmp_path: Path,
) -> None:
    """`copy --all` moves an index and both its images, to the registry and back, unchanged."""
    sample = two_platforms()
    remote = f"docker://{registry.host}/{repository}:two"
    copy = ("skopeo", "copy", *PLAIN, "--all", "--preserve-digests")
    sandbox.run(*copy, f"oci:{platforms_layout}:two", remote)
    sandbox.run(*copy, remote, f"oci:{tmp_path}/back:two")

    assert stored(wire, repository, "two") == (OCI_INDEX, sample.manifest.payload)
    for child in sample.children:
        assert stored(wire, repository, child.manifest.digest)[1] == child.manifest.payload
    assert layout_blobs(tmp_path / "back") == {content.digest for content in sample.contents}


def test_copy_one_platform(
    sandbox: Sandbox,
    registry: RunningRegistry,
    repository: str,
    platforms_layout: Path,
    tmp_path: Path,
) -> None:
    """A copy without `--all` takes the image of the platform that was asked for."""
    foreign = two_platforms().children[1]
    remote = f"docker://{registry.host}/{repository}:two"
    sandbox.run("skopeo", "copy", *PLAIN, "--all", f"oci:{platforms_layout}:two", remote)
    sandbox.run(
        *("skopeo", "--override-arch", "arm64", "--override-os", "linux", "copy", *PLAIN),
        *(remote, f"oci:{tmp_path}/back:arm"),
    )

    assert foreign.manifest.digest in layout_blobs(tmp_path / "back")


@pytest.mark.parametrize(
    ("option", "media_type"), [("oci", OCI_MANIFEST), ("v2s2", DOCKER_MANIFEST)]
)
def test_format(
    sandbox: Sandbox,
    registry: RunningRegistry,
    wire: Wire,
    repository: str,
    busybox_layout: Path,
    tmp_path: Path,
    option: str,
    media_type: str,
) -> None:
    """The image is stored in the format that skopeo converted it to, and copies back from it."""
    remote = f"docker://{registry.host}/{repository}:{option}"
    sandbox.run("skopeo", "copy", *PLAIN, "--format", option, f"oci:{busybox_layout}:one", remote)
    sandbox.run("skopeo", "copy", *PLAIN, remote, f"dir:{tmp_path}/back")

    stored_type, payload = stored(wire, repository, option)
    assert stored_type == media_type
    assert payload == (tmp_path / "back" / "manifest.json").read_bytes()


def test_copy_from_a_folder(
    sandbox: Sandbox,
    registry: RunningRegistry,
    wire: Wire,
    repository: str,
    busybox_layout: Path,
    tmp_path: Path,
) -> None:
    """The `dir:` form, which keeps a manifest as it was, is pushed byte for byte."""
    sandbox.run("skopeo", "copy", f"oci:{busybox_layout}:one", f"dir:{tmp_path}/kept")
    sandbox.run(
        "skopeo", "copy", *PLAIN, f"dir:{tmp_path}/kept", f"docker://{registry.host}/{repository}:1"
    )

    assert stored(wire, repository, "1")[1] == busybox_image().manifest.payload


def test_copy_between_repositories(
    sandbox: Sandbox, registry: RunningRegistry, wire: Wire, repository: str
) -> None:
    """A copy from one repository to another mounts the blobs and keeps the digest."""
    image = random_image(layers=3)
    push_image(wire, f"{repository}/source", image, "1")
    source, target = (f"docker://{registry.host}/{repository}/{end}:1" for end in ("source", "to"))
    sandbox.run("skopeo", "copy", *PLAIN, source, target)

    assert stored(wire, f"{repository}/to", "1")[1] == image.manifest.payload


def test_inspect(
    sandbox: Sandbox, registry: RunningRegistry, repository: str, platforms_layout: Path
) -> None:
    """`inspect` reads digest, platform and tags; `--raw` prints the stored bytes and no others."""
    sample = two_platforms()
    remote = f"docker://{registry.host}/{repository}:two"
    sandbox.run("skopeo", "copy", *PLAIN, "--all", f"oci:{platforms_layout}:two", remote)
    look = ("skopeo", "--override-arch", "amd64", "inspect", "--tls-verify=false")
    seen = cast("dict[str, object]", json.loads(sandbox.run(*look, remote)))
    raw = sandbox.run(*look, "--raw", remote)

    assert seen["Digest"] == sample.manifest.digest
    assert seen["Architecture"] == "amd64"
    assert seen["RepoTags"] == ["two"]
    assert raw.encode() == sample.manifest.payload
    assert digest_of(raw.encode()) == sample.manifest.digest


def test_list_tags(
    sandbox: Sandbox, registry: RunningRegistry, wire: Wire, repository: str
) -> None:
    """`list-tags` prints every tag of the repository."""
    for tag in ("1", "1.0", "latest", "_hidden"):
        push_image(wire, repository, random_image(), tag)
    printed = sandbox.run(
        "skopeo", "list-tags", "--tls-verify=false", f"docker://{registry.host}/{repository}"
    )

    assert sorted(json.loads(printed)["Tags"]) == sorted(["1", "1.0", "latest", "_hidden"])


def test_delete(sandbox: Sandbox, registry: RunningRegistry, wire: Wire, repository: str) -> None:
    """After `delete` the image is neither under its tag nor under its digest."""
    image = random_image()
    push_image(wire, repository, image, "1")
    remote = f"docker://{registry.host}/{repository}:1"
    sandbox.run("skopeo", "delete", "--tls-verify=false", remote)

    for reference in ("1", image.manifest.digest):
        accept = ("Accept", OCI_MANIFEST)
        assert wire.get(manifest_path(repository, reference), accept).status == 404
    sandbox.fails("skopeo", "inspect", "--tls-verify=false", remote)


def test_synchronize(
    sandbox: Sandbox, registry: RunningRegistry, wire: Wire, repository: str, tmp_path: Path
) -> None:
    """`sync` takes a repository with its tags into a folder, and the folder into another name."""
    images = {tag: random_image() for tag in ("1", "2")}
    for tag, image in images.items():
        push_image(wire, f"{repository}/app", image, tag)
    kept = tmp_path / "kept"
    source = f"{registry.host}/{repository}/app"
    sync = ("skopeo", "sync", *PLAIN)
    sandbox.run(*sync, "--src", "docker", "--dest", "dir", source, str(kept))
    target = f"{registry.host}/{repository}/copy"
    sandbox.run(*sync, "--src", "dir", "--dest", "docker", str(kept), target)

    for tag, image in images.items():
        assert stored(wire, f"{repository}/copy/app", tag)[1] == image.manifest.payload


def test_missing_image(
    sandbox: Sandbox, registry: RunningRegistry, repository: str, tmp_path: Path
) -> None:
    """A copy of what is not there says that the manifest is unknown."""
    remote = f"docker://{registry.host}/{repository}:none"
    said = sandbox.fails("skopeo", "copy", *PLAIN, remote, f"dir:{tmp_path}/none")

    assert "manifest unknown" in said


def test_login(
    sandbox: Sandbox,
    secured: RunningRegistry,
    certificate: ServerCertificate,
    account: Account,
    repository: str,
    tmp_path: Path,
) -> None:
    """Over checked TLS a wrong password is refused, and a right one pushes and pulls."""
    image = random_image()
    layout = image_layout(tmp_path / "layout", "1", image)
    trust = str(certificate.trust)
    remote = f"docker://{secured.host}/{repository}:1"
    login = ("skopeo", "login", "--cert-dir", trust, "--username", account.name)
    push = ("skopeo", "copy", "--dest-cert-dir", trust, f"oci:{layout}:1", remote)
    wrong = sandbox.fails(*login, "--password-stdin", secured.host, stdin=account.password + "x")
    stranger = sandbox.fails(*push)
    sandbox.run(*login, "--password-stdin", secured.host, stdin=account.password)
    sandbox.run(*push)
    sandbox.run("skopeo", "copy", "--src-cert-dir", trust, remote, f"oci:{tmp_path}/back:1")
    distrusted = sandbox.fails("skopeo", "inspect", remote)

    assert REFUSED.search(wrong), wrong
    assert REFUSED.search(stranger), stranger
    assert "certificate" in distrusted
    assert image.manifest.digest in layout_blobs(tmp_path / "back")


def test_anonymous_pull(
    sandbox: Sandbox, readable: RunningRegistry, account: Account, repository: str, tmp_path: Path
) -> None:
    """Where everybody may read, a stranger copies from the registry but not to it."""
    image = random_image()
    layout = image_layout(tmp_path / "layout", "1", image)
    remote = f"docker://{readable.host}/{repository}:1"
    push = ("skopeo", "copy", *PLAIN, f"oci:{layout}:1", remote)
    stranger = sandbox.fails(*push)
    sandbox.run(*push, "--dest-creds", f"{account.name}:{account.password}")
    sandbox.run("skopeo", "copy", *PLAIN, remote, f"oci:{tmp_path}/back:1")

    assert REFUSED.search(stranger), stranger
    assert image.manifest.digest in layout_blobs(tmp_path / "back")
