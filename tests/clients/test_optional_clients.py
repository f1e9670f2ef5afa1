# SPDX-License-Identifier: Apache-2.0
"""Clients that Debian does not package: crane, oras, helm, cosign and regctl, where they are found.

They are looked for on PATH and in the folder that MOORAGE_CLIENTS names; without them the replays
stand in for them. None of them may speak to anything but the registry under test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.clients.samples import two_platforms
from tests.support.images import (
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
    manifest_path,
    push_blob,
    push_image,
    push_manifest,
    random_image,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.authority import ServerCertificate
    from tests.clients.conftest import Account
    from tests.clients.sandbox import Sandbox
    from tests.support.registry import RunningRegistry
    from tests.support.wire import Wire

REFUSED = re.compile(r"unauthorized|denied|401", re.IGNORECASE)


def client(name: str) -> str:
    """The path of a client; without it the test is skipped."""
    folders = os.pathsep.join([os.environ.get("MOORAGE_CLIENTS", ""), os.environ["PATH"]])
    path = shutil.which(name, path=folders)
    if path is None:
        pytest.skip(f"{name} is neither on PATH nor in MOORAGE_CLIENTS (not in Debian; optional)")
    return path


def push_platforms(wire: Wire, repository: str, tag: str) -> None:
    """Push the index of two platforms with everything below it."""
    sample = two_platforms()
    for child in sample.children:
        for blob in child.blobs:
            push_blob(wire, repository, blob)
        push_manifest(wire, repository, child.manifest)
    push_manifest(wire, repository, sample.manifest, tag)


def stored(wire: Wire, repository: str, reference: str) -> bytes:
    """A manifest as the registry has it."""
    answer = wire.get(
        manifest_path(repository, reference),
        ("Accept", f"{OCI_MANIFEST}, {OCI_INDEX}, {DOCKER_MANIFEST}"),
    )
    assert answer.status == 200, answer
    return answer.body


def test_crane(
    sandbox: Sandbox, registry: RunningRegistry, wire: Wire, repository: str, tmp_path: Path
) -> None:
    """Crane copies an index, validates and pulls it, lists, tags and deletes."""
    crane = client("crane")
    push_platforms(wire, f"{repository}/source", "1")
    source, target = (f"{registry.host}/{repository}/{end}" for end in ("source", "target"))
    sandbox.run(crane, "copy", f"{source}:1", f"{target}:1")
    sandbox.run(crane, "validate", "--remote", f"{target}:1")
    sandbox.run(crane, "pull", "--format", "oci", f"{target}:1", str(tmp_path / "pulled"))
    sandbox.run(crane, "push", "--index", str(tmp_path / "pulled"), f"{target}:again")
    sandbox.run(crane, "tag", f"{target}:1", "2")
    digest = sandbox.run(crane, "digest", f"{target}:1")
    tags = sandbox.run(crane, "ls", target).split()
    catalog = sandbox.run(crane, "catalog", registry.host).split()
    sandbox.run(crane, "delete", f"{target}@{digest}")

    assert digest == two_platforms().manifest.digest
    assert sorted(tags) == ["1", "2", "again"]
    assert f"{repository}/target" in catalog
    assert "MANIFEST_UNKNOWN" in sandbox.fails(crane, "manifest", f"{target}:1")


def test_crane_appends_layers(
    sandbox: Sandbox, registry: RunningRegistry, wire: Wire, repository: str, tmp_path: Path
) -> None:
    """Crane makes an image from a tar file, puts a layer on top, and exports what is in it."""
    crane = client("crane")
    for name in ("first", "second"):
        (tmp_path / name).write_text(name)
        sandbox.run("tar", "-cf", str(tmp_path / f"{name}.tar"), "-C", str(tmp_path), name)
    one, two = (f"{registry.host}/{repository}:{tag}" for tag in ("one", "two"))
    first, second = (str(tmp_path / f"{name}.tar") for name in ("first", "second"))
    sandbox.run(crane, "append", "--new_layer", first, "--new_tag", one)
    sandbox.run(crane, "append", "--base", one, "--new_layer", second, "--new_tag", two)
    sandbox.run(crane, "export", two, str(tmp_path / "all.tar"))

    names = sandbox.run("tar", "-tf", str(tmp_path / "all.tar")).split()
    assert sorted(names) == ["first", "second"]
    assert len(json.loads(stored(wire, repository, "two"))["layers"]) == 2


def test_crane_anonymous_pull(
    sandbox: Sandbox, readable: RunningRegistry, account: Account, repository: str, tmp_path: Path
) -> None:
    """Where everybody may read, a stranger pulls and lists, and cannot push."""
    crane = client("crane")
    (tmp_path / "file").write_text("content")
    sandbox.run("tar", "-cf", str(tmp_path / "file.tar"), "-C", str(tmp_path), "file")
    reference = f"{readable.host}/{repository}:1"
    push = (crane, "append", "--new_layer", str(tmp_path / "file.tar"), "--new_tag", reference)
    login = (crane, "auth", "login", "--username", account.name, "--password-stdin")
    refused = sandbox.fails(*push)
    sandbox.run(*login, readable.host, stdin=account.password)
    sandbox.run(*push)
    sandbox.run(crane, "auth", "logout", readable.host)
    sandbox.run(crane, "pull", reference, str(tmp_path / "pulled.tar"))

    assert REFUSED.search(refused)
    assert sandbox.run(crane, "ls", f"{readable.host}/{repository}") == "1"
    assert f"{repository}" in sandbox.run(crane, "catalog", readable.host).split()


def test_crane_login(
    sandbox: Sandbox, guarded: RunningRegistry, account: Account, repository: str, tmp_path: Path
) -> None:
    """Crane is refused before the login and let in after it."""
    crane = client("crane")
    (tmp_path / "file").write_text("content")
    sandbox.run("tar", "-cf", str(tmp_path / "file.tar"), "-C", str(tmp_path), "file")
    append = (
        *(crane, "append", "--new_layer", str(tmp_path / "file.tar")),
        *("--new_tag", f"{guarded.host}/{repository}:1"),
    )
    login = (crane, "auth", "login", guarded.host, "--username", account.name, "--password-stdin")
    stranger = sandbox.fails(*append)
    sandbox.run(*login, stdin=account.password)
    sandbox.run(*append)

    assert REFUSED.search(stranger), stranger


@pytest.mark.usefixtures("ours")
def test_regctl(
    sandbox: Sandbox, registry: RunningRegistry, wire: Wire, repository: str, tmp_path: Path
) -> None:
    """Regctl copies an index with its referrers, attaches artifacts and deletes single tags."""
    regctl = client("regctl")
    sandbox.run(regctl, "registry", "set", "--tls", "disabled", registry.host)
    push_platforms(wire, f"{repository}/source", "1")
    source, target = (f"{registry.host}/{repository}/{end}" for end in ("source", "target"))
    (tmp_path / "note").write_text("note")
    sandbox.run(
        *(regctl, "artifact", "put", "--artifact-type", "example/note", "--subject"),
        *(f"{source}:1", "--file", str(tmp_path / "note")),
    )
    sandbox.run(regctl, "image", "copy", "--referrers", f"{source}:1", f"{target}:1")
    sandbox.run(regctl, "image", "copy", f"{target}:1", f"{target}:2")
    listed = sandbox.run(regctl, "artifact", "list", "--format", "{{json .}}", f"{target}:1")
    digest = sandbox.run(regctl, "image", "digest", f"{target}:1")
    sandbox.run(regctl, "tag", "delete", f"{target}:2")
    tags = sandbox.run(regctl, "tag", "ls", target).split()

    assert digest == two_platforms().manifest.digest
    assert "example/note" in listed
    assert tags == ["1"]


@pytest.mark.usefixtures("ours")
def test_regctl_blobs(
    sandbox: Sandbox, registry: RunningRegistry, repository: str, tmp_path: Path
) -> None:
    """Regctl sends a blob in chunks and gets the same bytes back."""
    regctl = client("regctl")
    payload = os.urandom(300_000)
    (tmp_path / "blob").write_bytes(payload)
    sandbox.run(
        *(regctl, "registry", "set", "--tls", "disabled"),
        *("--blob-max", "100000", "--blob-chunk", "65536", registry.host),
    )
    name = f"{registry.host}/{repository}"
    shell = 'exec "$0" blob put "$1" < "$2"'
    digest = sandbox.run("sh", "-c", shell, regctl, name, str(tmp_path / "blob"))
    keep = 'exec "$0" blob get "$1" "$2" > "$3"'
    sandbox.run("sh", "-c", keep, regctl, name, digest, str(tmp_path / "back"))

    assert digest == digest_of(payload)
    assert (tmp_path / "back").read_bytes() == payload


def test_helm(
    sandbox: Sandbox,
    secured: RunningRegistry,
    certificate: ServerCertificate,
    account: Account,
    repository: str,
    tmp_path: Path,
) -> None:
    """Helm is refused with a wrong password; a chart it pushes under a `+` version comes back."""
    helm = client("helm")
    trust = ("--ca-file", str(certificate.authority))
    sandbox.run(helm, "create", str(tmp_path / "app"))
    sandbox.run(
        *(helm, "package", str(tmp_path / "app"), "--version", "1.0.0+build.5"),
        *("--destination", str(tmp_path)),
    )
    packaged = tmp_path / "app-1.0.0+build.5.tgz"
    login = (helm, "registry", "login", *trust, "--username", account.name, "--password-stdin")
    wrong = sandbox.fails(*login, secured.host, stdin=account.password + "x")
    sandbox.run(*login, secured.host, stdin=account.password)
    remote = f"oci://{secured.host}/{repository}"
    sandbox.run(helm, "push", *trust, str(packaged), remote)
    back = ("--version", "1.0.0+build.5", "--destination", str(sandbox.folder))
    sandbox.run(helm, "pull", *trust, f"{remote}/app", *back)

    assert REFUSED.search(wrong), wrong
    assert (sandbox.folder / packaged.name).read_bytes() == packaged.read_bytes()


@pytest.mark.usefixtures("ours")
def test_oras(sandbox: Sandbox, registry: RunningRegistry, repository: str, tmp_path: Path) -> None:
    """Oras pushes and pulls files, attaches, discovers, and copies with what is attached."""
    oras = client("oras")
    (tmp_path / "file.txt").write_text("content")
    (tmp_path / "sbom.json").write_text("{}")
    source, target = (f"{registry.host}/{repository}/{end}:1" for end in ("source", "target"))
    plain, loose = "--plain-http", "--disable-path-validation"
    sandbox.run(oras, "push", plain, loose, source, str(tmp_path / "file.txt"))
    sandbox.run(
        *(oras, "attach", plain, loose, "--artifact-type", "example/sbom", source),
        str(tmp_path / "sbom.json"),
    )
    both = ("--from-plain-http", "--to-plain-http")
    sandbox.run(oras, "copy", "--recursive", *both, source, target)
    found = sandbox.run(oras, "discover", plain, "--format", "json", target)
    tags = sandbox.run(oras, "repo", "tags", plain, target.rpartition(":")[0]).split()
    sandbox.run(oras, "manifest", "delete", plain, "--force", target)

    assert "example/sbom" in found
    assert tags == ["1"]
    sandbox.fails(oras, "manifest", "fetch", plain, target)


@pytest.mark.parametrize("referrers", [False, True], ids=["tags", "referrers"])
def test_cosign(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    registry: RunningRegistry,
    wire: Wire,
    repository: str,
    *,
    referrers: bool,
) -> None:
    """A signature that cosign makes with a key of its own is found and verified, either way."""
    cosign = client("cosign")
    if referrers:
        request.getfixturevalue("ours")
    image = random_image()
    push_image(wire, repository, image, "1")
    reference = f"{registry.host}/{repository}@{image.manifest.digest}"
    secret = ("env", "COSIGN_PASSWORD=", "COSIGN_EXPERIMENTAL=1")
    sandbox.run(*secret, cosign, "generate-key-pair")
    mode = ("--registry-referrers-mode", "oci-1-1" if referrers else "legacy")
    offline = ("--tlog-upload=false", "--allow-http-registry", "--yes")
    sandbox.run(*secret, cosign, "sign", "--key", "cosign.key", *mode, *offline, reference)
    found = ("--experimental-oci11",) if referrers else ()
    checked = ("--insecure-ignore-tlog", "--allow-http-registry", *found)
    said = sandbox.run(*secret, cosign, "verify", "--key", "cosign.pub", *checked, reference)

    assert image.manifest.digest in said
