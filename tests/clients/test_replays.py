# SPDX-License-Identifier: Apache-2.0
"""What container engines send, request by request: docker, containerd and podman.

A client that is not installed here still has its conversation tested; one that is may change its
habits with its next release, and the conversation of the old one stays. Tools without an engine are
in `test_replays_tools`, artifact clients in `test_replays_artifacts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.replay import ABSENT, PRESENT, Row, replay
from tests.support.images import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    EMPTY_BLOB,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    docker_image,
    image_manifest,
    push_image,
    random_blob,
    random_image,
)

if TYPE_CHECKING:
    from tests.support.wire import Wire

DOCKER = {
    "User-Agent": "docker/28.2.2 go/go1.24.3 kernel/6.1 os/linux arch/amd64 "
    "UpstreamClient(Docker-Client/28.2.2 \\(linux\\))",
    "Accept-Encoding": "gzip",
}
DOCKER_ACCEPT = (
    f"{DOCKER_MANIFEST}, {DOCKER_MANIFEST_LIST}, "
    "application/vnd.docker.distribution.manifest.v1+prettyjws, application/json, "
    f"{OCI_INDEX}, {OCI_MANIFEST}"
)
CONTAINERD = {"User-Agent": "containerd/v1.7.27", "Accept-Encoding": "zstd, gzip, deflate"}
CONTAINERD_ACCEPT = f"{DOCKER_MANIFEST}, {DOCKER_MANIFEST_LIST}, {OCI_MANIFEST}, {OCI_INDEX}, */*"
PODMAN = {
    "User-Agent": "containers/5.32.2 (github.com/containers/image)",
    "Docker-Distribution-Api-Version": "registry/2.0",
}
UPLOADS = "/v2/{name}/blobs/uploads/"


def test_docker_push(wire: Wire, repository: str) -> None:
    """Docker probes, streams each layer in one PATCH without a length, and puts the tag."""
    image = docker_image(layer_size=200_000)
    (layer,) = image.layers

    def blob(content: Content) -> list[Row]:
        return [
            Row(ask=f"HEAD /v2/{{name}}/blobs/{content.digest}", status=404),
            Row(
                ask=f"POST {UPLOADS}",
                status=202,
                headers={"Location": PRESENT, "Docker-Upload-UUID": PRESENT, "Content-Length": "0"},
            ),
            Row(
                ask="PATCH {location}",
                body=content,
                chunked=True,
                status=202,
                # Docker takes the end of this range, plus one, for the size of the layer.
                headers={"Location": PRESENT, "Range": f"0-{content.size - 1}"},
            ),
            Row(
                ask=f"PUT {{location}}?digest={content.digest}",
                sends={"Content-Type": "application/octet-stream"},
                status=201,
                headers={"Docker-Content-Digest": content.digest, "Location": PRESENT},
            ),
            Row(
                ask=f"HEAD /v2/{{name}}/blobs/{content.digest}",
                status=200,
                headers={"Content-Length": str(content.size)},
            ),
        ]

    rows = [
        Row(
            ask="GET /v2/",
            status=200,
            headers={"Docker-Distribution-Api-Version": "registry/2.0"},
        ),
        *blob(layer),
        *blob(image.config),
        Row(
            ask="PUT /v2/{name}/manifests/1",
            sends={"Content-Type": DOCKER_MANIFEST},
            body=image.manifest,
            status=201,
            headers={"Docker-Content-Digest": image.manifest.digest, "Location": PRESENT},
        ),
    ]
    replay(wire, rows, always=DOCKER, name=repository)


def test_docker_mount(wire: Wire, repository: str) -> None:
    """Docker mounts a layer it has pushed elsewhere, and cancels or uses the session otherwise."""
    image = docker_image()
    (layer,) = image.layers
    unknown = random_blob()
    push_image(wire, f"{repository}/source", image, "1")
    mount = f"POST {UPLOADS}?mount={{digest}}&from={{name}}/source"
    rows = [
        Row(
            ask=mount.replace("{digest}", layer.digest),
            status=201,
            headers={
                "Location": f"/v2/{{name}}/blobs/{layer.digest}",
                "Docker-Content-Digest": layer.digest,
            },
        ),
        Row(ask=f"HEAD /v2/{{name}}/blobs/{layer.digest}", status=200),
        Row(ask=mount.replace("{digest}", unknown.digest), status=202),
        Row(ask="DELETE {location}", status=204),
        Row(ask="GET {location}", status=404, code="BLOB_UPLOAD_UNKNOWN"),
    ]
    replay(wire, rows, always=DOCKER, name=repository)


def test_docker_pull(wire: Wire, repository: str) -> None:
    """Docker asks for the tag's headers, then by digest, and resumes a layer."""
    image = docker_image(layer_size=100_000)
    (layer,) = image.layers
    push_image(wire, repository, image, "1")
    described = {
        "Content-Type": DOCKER_MANIFEST,
        "Content-Length": str(image.manifest.size),
        "Docker-Content-Digest": image.manifest.digest,
    }
    rows = [
        Row(
            ask="HEAD /v2/{name}/manifests/1",
            sends={"Accept": DOCKER_ACCEPT},
            status=200,
            headers=described,
        ),
        Row(
            ask=f"GET /v2/{{name}}/manifests/{image.manifest.digest}",
            sends={"Accept": DOCKER_ACCEPT},
            status=200,
            headers={**described, "Content-Encoding": ABSENT},
            answer=image.manifest,
        ),
        Row(
            ask=f"GET /v2/{{name}}/blobs/{image.config.digest}",
            status=200,
            headers={"Content-Encoding": ABSENT},
            answer=image.config,
        ),
        Row(ask=f"GET /v2/{{name}}/blobs/{layer.digest}", status=200, answer=layer),
        Row(
            ask=f"GET /v2/{{name}}/blobs/{layer.digest}",
            sends={"Range": "bytes=1000-"},
            status=206,
            headers={"Content-Range": f"bytes 1000-{layer.size - 1}/{layer.size}"},
            answer=layer.payload[1000:],
        ),
    ]
    replay(wire, rows, always=DOCKER, name=repository)


@pytest.mark.usefixtures("ours")
def test_containerd_push(wire: Wire, repository: str) -> None:
    """Containerd puts each blob whole, an empty one in chunks, children first and the tag last."""
    image = random_image()
    empty = image_manifest(image.config, [EMPTY_BLOB])
    rows = [
        row
        for content in (*image.blobs, EMPTY_BLOB)
        for row in (
            Row(
                ask=f"HEAD /v2/{{name}}/blobs/{content.digest}",
                sends={"Accept": f"{content.media_type}, */*"},
                status=404,
            ),
            Row(ask=f"POST {UPLOADS}", status=202, headers={"Location": PRESENT}),
            Row(
                ask=f"PUT {{location}}?digest={content.digest.replace(':', '%3A')}",
                sends={"Content-Type": "application/octet-stream"},
                body=content,
                chunked=content.size == 0,
                status=201,
                headers={"Docker-Content-Digest": content.digest},
            ),
        )
    ]
    for manifest, reference in ((empty, empty.digest), (image.manifest, "1")):
        accept = {"Accept": f"{OCI_MANIFEST}, */*"}
        rows += [
            Row(ask=f"HEAD /v2/{{name}}/manifests/{reference}", sends=accept, status=404),
            Row(
                ask=f"PUT /v2/{{name}}/manifests/{reference}",
                sends={"Content-Type": OCI_MANIFEST},
                body=manifest,
                status=201,
                headers={"Docker-Content-Digest": manifest.digest},
            ),
        ]
    # A second push sees by the digest that the tag is already there.
    rows.append(
        Row(
            ask="HEAD /v2/{name}/manifests/1",
            sends={"Accept": f"{OCI_MANIFEST}, */*"},
            status=200,
            headers={"Docker-Content-Digest": image.manifest.digest},
        )
    )
    replay(wire, rows, always=CONTAINERD, name=repository)


@pytest.mark.usefixtures("ours")
def test_containerd_mount_without_source(wire: Wire, repository: str) -> None:
    """Containerd mounts with a source; if that is unknown it uses the session."""
    blob = random_blob()
    rows = [
        Row(ask=f"POST {UPLOADS}?mount={blob.digest}&from={{name}}/none", status=202),
        Row(
            ask=f"PUT {{location}}?digest={blob.digest}",
            sends={"Content-Type": "application/octet-stream"},
            body=blob,
            status=201,
        ),
    ]
    replay(wire, rows, always=CONTAINERD, name=repository)


@pytest.mark.usefixtures("ours")
def test_containerd_pull(wire: Wire, repository: str) -> None:
    """Containerd resolves the tag, fetches by digest and takes a layer in ranges side by side."""
    image = random_image(layer_size=100_000)
    (layer,) = image.layers
    push_image(wire, repository, image, "1")
    half = layer.size // 2
    rows = [
        Row(
            ask="HEAD /v2/{name}/manifests/1?ns=registry.example",
            sends={"Accept": CONTAINERD_ACCEPT},
            status=200,
            headers={
                "Content-Type": OCI_MANIFEST,
                "Content-Length": str(image.manifest.size),
                "Docker-Content-Digest": image.manifest.digest,
            },
        ),
        Row(
            ask=f"GET /v2/{{name}}/manifests/{image.manifest.digest}?ns=registry.example",
            sends={"Accept": f"{OCI_MANIFEST}, */*"},
            status=200,
            headers={"Content-Encoding": ABSENT},
            answer=image.manifest,
        ),
        Row(
            ask=f"GET /v2/{{name}}/blobs/{layer.digest}?ns=registry.example",
            sends={"Accept": f"{layer.media_type}, */*", "Range": f"bytes=0-{half - 1}"},
            status=206,
            headers={"Content-Encoding": ABSENT, "Content-Length": str(half)},
            answer=layer.payload[:half],
        ),
        Row(
            ask=f"GET /v2/{{name}}/blobs/{layer.digest}?ns=registry.example",
            sends={"Accept": f"{layer.media_type}, */*", "Range": f"bytes={half}-"},
            status=206,
            answer=layer.payload[half:],
        ),
        # A digest that is not a manifest is asked for as a blob before containerd gives up.
        Row(
            ask=f"HEAD /v2/{{name}}/manifests/{layer.digest}",
            sends={"Accept": CONTAINERD_ACCEPT},
            status=404,
        ),
        Row(ask=f"HEAD /v2/{{name}}/blobs/{layer.digest}", status=200),
    ]
    replay(wire, rows, always=CONTAINERD, name=repository)


def test_podman_push(wire: Wire, repository: str) -> None:
    """Podman needs 202, 202 and 201, cancels an unused mount, then looks for signatures."""
    image = random_image()
    (layer,) = image.layers
    signature = f"sha256-{image.manifest.digest.partition(':')[2]}.sig"
    rows = [
        Row(ask="GET /v2/", status=200),
        Row(ask=f"HEAD /v2/{{name}}/blobs/{layer.digest}", status=404),
        Row(ask=f"POST {UPLOADS}?mount={layer.digest}&from={{name}}/none", status=202),
        Row(ask="DELETE {location}", status=204),
        *(
            row
            for content in image.blobs
            for row in (
                Row(ask=f"POST {UPLOADS}", status=202, headers={"Location": PRESENT}),
                Row(
                    ask="PATCH {location}",
                    sends={"Content-Type": "application/octet-stream"},
                    body=content,
                    chunked=content is layer,
                    status=202,
                    headers={"Location": PRESENT},
                ),
                Row(
                    ask=f"PUT {{location}}?digest={content.digest}",
                    sends={"Content-Type": "application/octet-stream"},
                    status=201,
                ),
            )
        ),
        Row(
            ask="PUT /v2/{name}/manifests/1",
            sends={"Content-Type": OCI_MANIFEST},
            body=image.manifest,
            status=201,
        ),
        Row(
            ask=f"GET /v2/{{name}}/manifests/{signature}",
            sends={"Accept": OCI_MANIFEST},
            status=404,
            headers={"X-Registry-Supports-Signatures": ABSENT},
            code="MANIFEST_UNKNOWN",
        ),
    ]
    replay(wire, rows, always=PODMAN, name=repository)


def test_podman_partial_pull(wire: Wire, repository: str) -> None:
    """For a partly known layer podman asks for several ranges and never gets just the first."""
    image = random_image(layer_size=50_000)
    (layer,) = image.layers
    push_image(wire, repository, image, "1")
    (answer,) = replay(
        wire,
        [
            Row(
                ask=f"GET /v2/{{name}}/blobs/{layer.digest}",
                sends={"Range": "bytes=0-99,1000-1999"},
                status={200, 206, 400},
            )
        ],
        always=PODMAN,
        name=repository,
    )
    if answer.status == 206:
        kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
        assert kind == "multipart/byteranges"
        assert answer.body.count(f"--{boundary}".encode()) == 3
        assert layer.payload[0:100] in answer.body
        assert layer.payload[1000:2000] in answer.body
