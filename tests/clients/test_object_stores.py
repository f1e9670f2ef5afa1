# SPDX-License-Identifier: Apache-2.0
"""skopeo with a registry that keeps its bytes in an object store, and sends clients there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.samples import busybox_image
from tests.clients.sandbox import tool
from tests.support.object_proxy import ObjectProxy
from tests.support.object_requests import Meaning
from tests.support.registry import RunningRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clients.sandbox import Sandbox
    from tests.support.object_servers import ObjectServer

# What an address that S3, Google or Azure has signed has in its query.
SIGNATURES = {"X-Amz-Signature", "X-Goog-Signature", "sig"}
pytestmark = pytest.mark.usefixtures("ours")
PLAIN = ("--src-tls-verify=false", "--dest-tls-verify=false")


@pytest.fixture(params=["s3", "azure", "gcs"])
def store(request: pytest.FixtureRequest) -> Iterator[ObjectProxy]:
    """A proxy in front of each kind of object store in turn."""
    tool("skopeo")
    server: ObjectServer = request.getfixturevalue(f"{request.param}_server")
    with ObjectProxy(server) as proxy:
        yield proxy


@pytest.mark.parametrize("redirected", [True, False], ids=["redirected", "through"])
def test_an_image_goes_there_and_back(
    store: ObjectProxy,
    redirected: bool,  # noqa: FBT001 - given by name through parametrize
    sandbox: Sandbox,
    busybox_layout: Path,
    tmp_path: Path,
) -> None:
    """A pushed image is pulled with the same bytes, and nothing was copied inside the store."""
    image = busybox_image()
    storage = store.server.settings(endpoint=store.endpoint)
    storage["redirect"] = {"disable": not redirected}
    database = {"sqlite": {"path": str(tmp_path / "registry.db")}}
    config = {"storage": storage, "database": database}
    with RunningRegistry(tmp_path / "registry", config) as registry:
        remote = f"docker://{registry.host}/some/image:1"
        sandbox.run("skopeo", "copy", *PLAIN, f"oci:{busybox_layout}:one", remote)
        sandbox.run("skopeo", "copy", *PLAIN, remote, f"oci:{tmp_path}/back:one")

    back = {path.name for path in (tmp_path / "back" / "blobs" / "sha256").iterdir()}
    assert {f"sha256:{name}" for name in back} == {
        content.digest for content in (*image.blobs, image.manifest)
    }
    assert store.counts[Meaning.COPY] == 0
    assert store.counts[Meaning.PUT] >= len(image.blobs)
    signed = [request for request in store.requests if SIGNATURES & request.query.keys()]
    assert len(signed) == (len(image.blobs) if redirected else 0)
