# SPDX-License-Identifier: Apache-2.0
"""umoci: layouts that another program has made, through the registry, to a root file system.

umoci speaks to no registry; skopeo carries its layouts there and back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from tests.clients.sandbox import Sandbox, need_root, tool
from tests.support.images import OCI_MANIFEST, manifest_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.registry import RunningRegistry
    from tests.support.wire import Wire

PLAIN = ("--src-tls-verify=false", "--dest-tls-verify=false")


def test_layers_through_the_registry(
    sandbox: Sandbox, registry: RunningRegistry, wire: Wire, repository: str, tmp_path: Path
) -> None:
    """Files that umoci packs in layers and deletes again come out of the registry as they were."""
    need_root("umoci unpack with owners")
    tool("umoci")
    tool("skopeo")
    layout = tmp_path / "layout"
    sandbox.run("umoci", "init", "--layout", str(layout))
    image = f"{layout}:1"
    sandbox.run("umoci", "new", "--image", image)
    for name, text in (("kept", "kept"), ("gone", "gone")):
        (tmp_path / name).write_text(text)
        sandbox.run("umoci", "insert", "--image", image, str(tmp_path / name), f"/files/{name}")
    sandbox.run("umoci", "insert", "--whiteout", "--image", image, "/files/gone")
    listed = sandbox.run("umoci", "stat", "--image", image, "--json")
    (entry,) = cast("dict[str, list[dict[str, str]]]", _read(layout / "index.json"))["manifests"]
    remote = f"docker://{registry.host}/{repository}:1"
    sandbox.run("skopeo", "copy", *PLAIN, f"oci:{image}", remote)
    sandbox.run("skopeo", "copy", *PLAIN, remote, f"oci:{tmp_path}/back:1")
    sandbox.run("umoci", "unpack", "--image", f"{tmp_path}/back:1", str(tmp_path / "bundle"))

    answer = wire.head(manifest_path(repository, "1"), ("Accept", OCI_MANIFEST))
    assert answer.headers["Docker-Content-Digest"] == entry["digest"]
    assert len(json.loads(listed)["history"]) == 3
    files = tmp_path / "bundle" / "rootfs" / "files"
    assert [path.name for path in files.iterdir()] == ["kept"]
    assert (files / "kept").read_text() == "kept"


def _read(path: Path) -> object:
    document: object = json.loads(path.read_text())
    return document
