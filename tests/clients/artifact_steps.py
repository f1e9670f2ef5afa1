# SPDX-License-Identifier: Apache-2.0
"""Steps that several artifact clients have in common, as rows to replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tests.clients.replay import ABSENT, PRESENT, Row
from tests.support.images import DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST, Content

if TYPE_CHECKING:
    from tests.support.wire import Answer

UPLOADS = "/v2/{name}/blobs/uploads/"
ANY_MANIFEST = {"Accept": f"{OCI_MANIFEST},{OCI_INDEX},{DOCKER_MANIFEST_LIST}"}


def put_whole(*blobs: Content) -> list[Row]:
    """Each blob by HEAD, POST and one PUT, as oras and everything built on it sends them."""
    return [
        row
        for blob in blobs
        for row in (
            Row(ask=f"HEAD /v2/{{name}}/blobs/{blob.digest}", status={200, 404}),
            Row(ask=f"POST {UPLOADS}", status=202, headers={"Location": PRESENT}),
            Row(
                ask=f"PUT {{location}}?digest={blob.digest.replace(':', '%3A')}",
                sends={"Content-Type": "application/octet-stream"},
                body=blob,
                status=201,
            ),
        )
    ]


def put_manifest(manifest: Content, reference: str | None = None, subject: str = "") -> Row:
    """A manifest, by its digest unless a tag is given."""
    return Row(
        ask=f"PUT /v2/{{name}}/manifests/{reference or manifest.digest}",
        sends={"Content-Type": manifest.media_type},
        body=manifest,
        status=201,
        headers={
            "Docker-Content-Digest": manifest.digest,
            "OCI-Subject": subject or ABSENT,
        },
    )


def get_manifest(manifest: Content, reference: str | None = None) -> list[Row]:
    """HEAD and GET of a manifest, each needing type, length and digest."""
    described = {
        "Content-Type": manifest.media_type,
        "Content-Length": str(manifest.size),
        "Docker-Content-Digest": manifest.digest,
    }
    target = f"/v2/{{name}}/manifests/{reference or manifest.digest}"
    sends = {"Accept": manifest.media_type}
    return [
        Row(ask=f"HEAD {target}", sends=sends, status=200, headers=described),
        Row(ask=f"GET {target}", sends=sends, status=200, headers=described, answer=manifest),
    ]


def referrers(subject: str, query: str = "", **headers: str) -> Row:
    """The list of what refers to a manifest; its type has to be exact."""
    return Row(
        ask=f"GET /v2/{{name}}/referrers/{subject}{query}",
        status=200,
        headers={"Content-Type": OCI_INDEX} | headers,
    )


def listed(answer: Answer) -> list[dict[str, object]]:
    """The descriptors of a referrers answer."""
    return cast("dict[str, list[dict[str, object]]]", answer.json())["manifests"]
