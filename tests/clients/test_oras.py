# SPDX-License-Identifier: Apache-2.0
"""The oras Python library: files as artifacts, attached to one another and found again.

The library has no call that lists referrers, so what is attached is discovered by HTTP.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.images import OCI_INDEX, OCI_MANIFEST, manifest_path
from tests.support.wire import Wire, basic_auth

oras_client = pytest.importorskip("oras.client", reason="the Python package oras is not installed")
oras_oci = pytest.importorskip("oras.oci")

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Account
    from tests.support.registry import RunningRegistry

SBOM = "application/spdx+json"
SIGNATURE = "application/vnd.example.signature"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working folder: the library reads Docker's credentials from there."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder / ".docker"))
    monkeypatch.chdir(tmp_path)
    return folder


def client(registry: RunningRegistry, account: Account | None = None) -> Any:
    """A client of the registry over plain HTTP, as the account or as nobody."""
    made = oras_client.OrasClient(hostname=registry.host, insecure=True, auth_backend="basic")
    if account is not None:
        made.auth.set_basic_auth(account.name, account.password)
    return made


def written(path: Path, payload: bytes) -> str:
    """A file in the working folder, by its name."""
    path.write_bytes(payload)
    return path.name


def descriptor(wire: Wire, repository: str, reference: str) -> dict[str, object]:
    """What the registry says about a manifest, as a descriptor."""
    answer = wire.get(manifest_path(repository, reference), ("Accept", OCI_MANIFEST))
    assert answer.status == 200, answer
    return {
        "mediaType": answer.headers["Content-Type"],
        "digest": answer.headers["Docker-Content-Digest"],
        "size": len(answer.body),
    }


def referrers(wire: Wire, repository: str, digest: object, query: str = "") -> list[object]:
    """The descriptors of what refers to a manifest."""
    answer = wire.get(f"/v2/{repository}/referrers/{digest}{query}")
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == OCI_INDEX
    return cast("dict[str, list[object]]", answer.json())["manifests"]


@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
def test_push_and_pull(
    registry: RunningRegistry, repository: str, tmp_path: Path, *, chunked: bool
) -> None:
    """Files that are pushed, in one piece or in chunks, are pulled with the same content."""
    payloads = {"notes.txt": b"notes", "data.bin": os.urandom(300_000)}
    files = [written(tmp_path / name, payload) for name, payload in payloads.items()]
    target = f"{registry.host}/{repository}:1"
    oras = client(registry)
    oras.push(target=target, files=files, do_chunked=chunked, chunk_size=65_536)
    pulled = oras.pull(target=target, outdir=str(tmp_path / "back"))

    assert len(pulled) == 2
    for name, payload in payloads.items():
        assert (tmp_path / "back" / name).read_bytes() == payload


def test_folder(registry: RunningRegistry, repository: str, tmp_path: Path) -> None:
    """A folder travels as one layer and is unpacked under its name."""
    (tmp_path / "chart").mkdir()
    written(tmp_path / "chart" / "values.yaml", b"replicas: 1\n")
    target = f"{registry.host}/{repository}:1"
    oras = client(registry)
    oras.push(target=target, files=["chart"])
    oras.pull(target=target, outdir=str(tmp_path / "back"))

    assert (tmp_path / "back" / "chart" / "values.yaml").read_bytes() == b"replicas: 1\n"


def test_attach_and_discover(
    ours: None, registry: RunningRegistry, wire: Wire, repository: str, tmp_path: Path
) -> None:
    """What is attached to an artifact is listed as its referrers, all or by type."""
    del ours
    oras = client(registry)
    oras.push(target=f"{registry.host}/{repository}:app", files=[written(tmp_path / "app", b"1")])
    subject = descriptor(wire, repository, "app")
    for name, kind in (("sbom", SBOM), ("signature", SIGNATURE)):
        written(tmp_path / "config", b"{}")
        answer = oras.push(
            target=f"{registry.host}/{repository}:{name}",
            files=[written(tmp_path / name, name.encode())],
            manifest_config=f"config:{kind}",
            manifest_annotations={"org.example.kind": name},
            subject=oras_oci.Subject(**subject),
        )
        assert answer.headers["OCI-Subject"] == subject["digest"]

    expected = [
        descriptor(wire, repository, name)
        | {"artifactType": kind, "annotations": {"org.example.kind": name}}
        for name, kind in (("sbom", SBOM), ("signature", SIGNATURE))
    ]
    found = referrers(wire, repository, subject["digest"])
    assert sorted(found, key=json.dumps) == sorted(expected, key=json.dumps)
    only = referrers(wire, repository, subject["digest"], f"?artifactType={SIGNATURE}")
    assert only == [expected[1]]


def test_tags_and_delete(registry: RunningRegistry, repository: str, tmp_path: Path) -> None:
    """Tags are listed, and a deleted one is listed no more."""
    oras = client(registry)
    for tag in ("1", "2", "3"):
        oras.push(
            target=f"{registry.host}/{repository}:{tag}",
            files=[written(tmp_path / "file", tag.encode())],
        )
    name = f"{registry.host}/{repository}"
    before = oras.get_tags(name)
    deleted = oras.delete_tags(name, ["2"])

    assert sorted(before) == ["1", "2", "3"]
    assert deleted == ["2"]
    assert sorted(oras.get_tags(name)) == ["1", "3"]


def test_password(
    guarded: RunningRegistry, account: Account, repository: str, tmp_path: Path
) -> None:
    """With the right password files are pushed; what a stranger sends is not kept."""
    target = f"{guarded.host}/{repository}:1"
    files = [written(tmp_path / "file", b"content")]
    client(guarded, account).push(target=target, files=files)
    pulled = client(guarded, account).pull(target=target, outdir=str(tmp_path / "back"))

    assert [os.path.basename(path) for path in pulled] == ["file"]  # noqa: PTH119
    known = basic_auth(account.name, account.password)
    for headers, status in (([], 401), ([basic_auth(account.name, "wrong")], 401), ([known], 200)):
        with Wire(f"http://{guarded.host}", headers) as wire:
            assert wire.get(f"/v2/{repository}/tags/list").status == status
