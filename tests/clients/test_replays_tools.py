# SPDX-License-Identifier: Apache-2.0
"""What tools without an engine send, request by request: crane, kaniko and regclient.

Container engines are in `test_replays`, artifact clients in `test_replays_artifacts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.replay import ABSENT, PRESENT, Row, replay
from tests.support.images import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    digest_of,
    image_manifest,
    push_image,
    random_blob,
    random_image,
)

if TYPE_CHECKING:
    from tests.support.wire import Wire

CRANE = {"User-Agent": "crane/0.20.6 go-containerregistry/0.20.6", "Accept-Encoding": "gzip"}
CRANE_ACCEPT = f"{DOCKER_MANIFEST},{OCI_MANIFEST},{DOCKER_MANIFEST_LIST},{OCI_INDEX}"
REGCLIENT = {"User-Agent": "regclient/regctl (v0.9.2)"}
UPLOADS = "/v2/{name}/blobs/uploads/"


def test_crane_push(wire: Wire, repository: str) -> None:
    """Crane sends a JSON type with an empty POST, and each blob in a PATCH of known length."""
    image = random_image()
    rows = [
        row
        for content in image.blobs
        for row in (
            Row(ask=f"HEAD /v2/{{name}}/blobs/{content.digest}", status=404),
            Row(
                ask=f"POST {UPLOADS}",
                sends={"Content-Type": "application/json"},
                status=202,
                headers={"Location": PRESENT},
            ),
            Row(ask="PATCH {location}", body=content, status={201, 202, 204}),
            Row(ask=f"PUT {{location}}?digest={content.digest}", status={201, 204}),
        )
    ]
    accept = {"Accept": CRANE_ACCEPT}
    rows += [
        Row(ask="HEAD /v2/{name}/manifests/1", sends=accept, status=404),
        Row(
            ask="PUT /v2/{name}/manifests/1",
            sends={"Content-Type": OCI_MANIFEST},
            body=image.manifest,
            status={200, 201, 202},
        ),
        Row(
            ask="HEAD /v2/{name}/manifests/1",
            sends=accept,
            status=200,
            headers={
                "Content-Type": OCI_MANIFEST,
                "Content-Length": str(image.manifest.size),
                "Docker-Content-Digest": image.manifest.digest,
            },
        ),
        Row(ask="GET /v2/{name}/manifests/1", sends=accept, status=200, answer=image.manifest),
        Row(ask="GET /v2/{name}/tags/list?n=1000", status=200, headers={"Link": ABSENT}),
    ]
    replay(wire, rows, always=CRANE, name=repository)


def test_crane_copy_and_delete(wire: Wire, repository: str) -> None:
    """Crane mounts with an `origin` that the registry does not know, and deletes by digest."""
    image = random_image()
    (layer,) = image.layers
    push_image(wire, f"{repository}/source", image, "1")
    origin = "&origin=REGISTRY.example"
    rows = [
        Row(
            ask=f"POST {UPLOADS}?mount={content.digest}&from={{name}}/source{origin}",
            sends={"Content-Type": "application/json"},
            status=201,
            headers={"Location": f"/v2/{{name}}/blobs/{content.digest}"},
        )
        for content in (layer, image.config)
    ]
    by_digest = f"/v2/{{name}}/manifests/{image.manifest.digest}"
    rows += [
        Row(
            ask="PUT /v2/{name}/manifests/1",
            sends={"Content-Type": OCI_MANIFEST},
            body=image.manifest,
            status=201,
        ),
        Row(ask=f"DELETE {by_digest}", status={200, 202}),
        Row(ask=f"GET {by_digest}", status=404, code="MANIFEST_UNKNOWN"),
        Row(ask="GET /v2/{name}/manifests/1", status=404, code="MANIFEST_UNKNOWN"),
    ]
    replay(wire, rows, always=CRANE, name=repository)


def test_kaniko_permission_check(wire: Wire, repository: str) -> None:
    """Kaniko and ko open a session to see whether they may push, and cancel it unread."""
    rows = [
        Row(ask="GET /v2/", status=200),
        Row(ask=f"POST {UPLOADS}", sends={"Content-Type": "application/json"}, status=202),
        Row(ask="DELETE {location}", status=204),
        Row(ask="GET {location}", status=404, code="BLOB_UPLOAD_UNKNOWN"),
        # The check alone makes no repository.
        Row(ask="GET /v2/{name}/tags/list", status={200, 404}),
    ]
    replay(wire, rows, always=CRANE, name=repository)


@pytest.mark.usefixtures("ours")
def test_regclient_chunks(wire: Wire, repository: str) -> None:
    """Regclient sends chunks with a range, and after a 416 goes on where the answer says."""
    blob = random_blob(30_000)
    first, second = blob.payload[:10_000], blob.payload[10_000:20_000]
    rows = [
        Row(ask=f"POST {UPLOADS}?mount={blob.digest}", status=202, headers={"Location": PRESENT}),
        Row(
            ask="PATCH {location}",
            sends={"Content-Range": "0-9999", "Content-Type": "application/octet-stream"},
            body=first,
            status=202,
            headers={"Range": "0-9999", "Location": PRESENT},
        ),
        # The answer to the first chunk was lost, so it comes again.
        Row(
            ask="PATCH {location}",
            sends={"Content-Range": "0-9999", "Content-Type": "application/octet-stream"},
            body=first,
            status=416,
            headers={"Range": "0-9999", "Location": PRESENT, "Docker-Upload-UUID": PRESENT},
        ),
        Row(ask="GET {location}", status=204, headers={"Range": "0-9999", "Location": PRESENT}),
        Row(
            ask="PATCH {location}",
            sends={"Content-Range": "10000-19999"},
            body=second,
            status=202,
            headers={"Range": "0-19999"},
        ),
        Row(
            ask=f"PUT {{location}}?digest={blob.digest}",
            sends={"Content-Range": "20000-29999"},
            body=blob.payload[20_000:],
            status=201,
            headers={"Docker-Content-Digest": blob.digest},
        ),
        Row(ask=f"GET /v2/{{name}}/blobs/{blob.digest}", status=200, answer=blob),
    ]
    replay(wire, rows, always=REGCLIENT, name=repository)


@pytest.mark.usefixtures("ours")
def test_regclient_whole_blob(wire: Wire, repository: str) -> None:
    """Regclient first tries to mount from anywhere, then puts the blob whole."""
    known, fresh = random_blob(), random_blob()
    rows = [
        Row(ask=f"POST {UPLOADS}", status=202),
        Row(ask=f"PUT {{location}}?digest={known.digest}", body=known, status=201),
        Row(ask=f"POST /v2/{{name}}/other/blobs/uploads/?mount={known.digest}", status={201, 202}),
        Row(ask=f"POST {UPLOADS}?mount={fresh.digest}", status=202),
        Row(ask=f"PUT {{location}}?digest={fresh.digest}", body=fresh, status=201),
    ]
    replay(wire, rows, always=REGCLIENT, name=repository)


@pytest.mark.usefixtures("ours")
def test_regclient_sha512(wire: Wire, repository: str) -> None:
    """Regclient announces sha512 for blobs and names tags in the query of a manifest put."""
    config, layer = (Content(random_blob(500).payload, algorithm="sha512") for _ in range(2))
    manifest = image_manifest(config, [layer], algorithm="sha512")
    rows = [
        row
        for content in (config, layer)
        for row in (
            Row(ask=f"HEAD /v2/{{name}}/blobs/{content.digest}", status=404),
            Row(ask=f"POST {UPLOADS}?digest-algorithm=sha512", status=202),
            Row(
                ask=f"PUT {{location}}?digest={content.digest}",
                body=content,
                status=201,
                headers={"Docker-Content-Digest": content.digest},
            ),
        )
    ]
    rows += [
        Row(
            ask=f"PUT /v2/{{name}}/manifests/{manifest.digest}?tag=v1&tag=latest",
            sends={"Content-Type": OCI_MANIFEST},
            body=manifest,
            status=201,
            headers={"Docker-Content-Digest": manifest.digest, "OCI-Tag": PRESENT},
        ),
        *(
            Row(
                ask=f"HEAD /v2/{{name}}/manifests/{tag}",
                sends={"Accept": OCI_MANIFEST},
                status=200,
                headers={"Docker-Content-Digest": manifest.digest},
            )
            for tag in ("v1", "latest")
        ),
        Row(ask=f"POST {UPLOADS}?digest-algorithm=md5", status=400, code="DIGEST_INVALID"),
    ]
    answers = replay(wire, rows, always=REGCLIENT, name=repository)

    (put,) = [answer for answer in answers if "OCI-Tag" in answer.headers]
    tags = ",".join(put.headers.get_all("OCI-Tag")).split(",")
    assert sorted(tag.strip() for tag in tags) == ["latest", "v1"]


def test_regclient_tag_delete(wire: Wire, repository: str) -> None:
    """A tag goes away without its image, or with a dummy manifest that is put there and deleted."""
    image, dummy = random_image(), random_image()
    push_image(wire, repository, image, "keep")
    push_image(wire, repository, dummy)
    accept = {"Accept": CRANE_ACCEPT}
    rows = [
        Row(
            ask="PUT /v2/{name}/manifests/gone",
            sends={"Content-Type": OCI_MANIFEST},
            body=dummy.manifest,
            status=201,
        ),
        Row(
            ask="HEAD /v2/{name}/manifests/gone",
            sends=accept,
            status=200,
            headers={"Docker-Content-Digest": dummy.manifest.digest},
        ),
        Row(ask=f"DELETE /v2/{{name}}/manifests/{dummy.manifest.digest}", status=202),
        Row(ask="HEAD /v2/{name}/manifests/gone", sends=accept, status=404),
        Row(ask="GET /v2/{name}/manifests/keep", sends=accept, status=200, answer=image.manifest),
    ]
    replay(wire, rows, always=REGCLIENT, name=repository)


@pytest.mark.usefixtures("ours")
def test_regclient_tag_delete_by_name(wire: Wire, repository: str) -> None:
    """A deleted tag leaves the manifest and its other tags where they are."""
    image = random_image()
    push_image(wire, repository, image, "gone")
    push_image(wire, repository, image, "keep")
    accept = {"Accept": CRANE_ACCEPT}
    rows = [
        Row(ask="DELETE /v2/{name}/manifests/gone", status=202),
        Row(ask="GET /v2/{name}/manifests/gone", sends=accept, status=404, code="MANIFEST_UNKNOWN"),
        Row(ask="GET /v2/{name}/manifests/keep", sends=accept, status=200, answer=image.manifest),
        Row(
            ask=f"GET /v2/{{name}}/manifests/{digest_of(image.manifest.payload)}",
            sends=accept,
            status=200,
            answer=image.manifest,
        ),
        Row(ask="DELETE /v2/{name}/manifests/gone", status=404, code="MANIFEST_UNKNOWN"),
    ]
    replay(wire, rows, always=REGCLIENT, name=repository)
