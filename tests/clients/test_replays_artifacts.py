# SPDX-License-Identifier: Apache-2.0
"""What artifact clients send, request by request: oras, helm, notation, cosign.

They store things that are no images, refer from one to another and read their own writes. Image
clients are in `test_replays` and `test_replays_tools`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.artifact_steps import (
    ANY_MANIFEST,
    get_manifest,
    listed,
    put_manifest,
    put_whole,
    referrers,
)
from tests.clients.replay import ABSENT, Row, replay
from tests.support.images import (
    EMPTY_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    Image,
    artifact,
    image_manifest,
    index,
    json_bytes,
    push_image,
    random_blob,
    random_image,
)

if TYPE_CHECKING:
    from tests.support.wire import Wire

ORAS = {"User-Agent": "oras/1.3.0", "Accept-Encoding": "gzip"}
HELM = {"User-Agent": "Helm/3.18.4", "Accept-Encoding": "gzip"}
NOTATION = {"User-Agent": "notation/1.3.2", "Accept-Encoding": "gzip"}
COSIGN = {"User-Agent": "cosign/v3.0.2 (linux; amd64) go-containerregistry/v0.20.6"}
NO_SUBJECT = "sha256:" + 64 * "0"

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
HELM_PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"
NOTARY_SIGNATURE = "application/vnd.cncf.notary.signature"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.mark.usefixtures("ours")
def test_oras_attach_and_discover(wire: Wire, repository: str) -> None:
    """Oras attaches by digest, learns from OCI-Subject that there are referrers, and lists them."""
    image = random_image()
    push_image(wire, repository, image, "1")
    subject = image.manifest.digest
    notes = {"org.opencontainers.image.created": "2024-01-01T00:00:00Z"}
    attached = artifact("example/sbom", [random_blob()], subject=image.manifest, annotations=notes)
    rows = [
        # Asked of a subject that cannot exist, to learn whether the registry lists referrers.
        referrers(NO_SUBJECT),
        *get_manifest(image.manifest, "1")[:1],
        *put_whole(*attached.blobs),
        Row(
            ask=f"HEAD /v2/{{name}}/manifests/{attached.manifest.digest}",
            sends={"Accept": OCI_MANIFEST},
            status=404,
        ),
        put_manifest(attached.manifest, subject=subject),
        referrers(subject, **{"OCI-Filters-Applied": ABSENT}),
        referrers(
            subject, "?artifactType=example%2Fsbom", **{"OCI-Filters-Applied": "artifactType"}
        ),
        referrers(subject, "?artifactType=other", **{"OCI-Filters-Applied": "artifactType"}),
        Row(ask=f"DELETE /v2/{{name}}/manifests/{attached.manifest.digest}", status=202),
        referrers(subject),
    ]
    answers = replay(wire, rows, always=ORAS, name=repository)

    expected = attached.manifest.descriptor(artifactType="example/sbom", annotations=notes)
    lists = [
        listed(answer) for answer in answers if answer.headers.get("Content-Type") == OCI_INDEX
    ]
    assert lists == [[], [expected], [expected], [], []]


@pytest.mark.usefixtures("ours")
def test_oras_probe(wire: Wire, repository: str) -> None:
    """A repository that does not exist has an empty list of referrers and never NAME_UNKNOWN."""
    (answer,) = replay(wire, [referrers(NO_SUBJECT)], always=ORAS, name=repository)

    assert listed(answer) == []


@pytest.mark.usefixtures("ours")
def test_oras_fallback_tag(wire: Wire, repository: str) -> None:
    """What an older client has listed under the fallback tag is listed beside the new referrers."""
    image = random_image()
    push_image(wire, repository, image, "1")
    old = artifact("example/old", [random_blob()])
    new = artifact("example/new", [random_blob()], subject=image.manifest)
    tag = image.manifest.digest.replace(":", "-")
    fallback = index([old.manifest.descriptor(artifactType="example/old")])
    rows = [
        *put_whole(*old.blobs),
        put_manifest(old.manifest),
        Row(ask=f"GET /v2/{{name}}/manifests/{tag}", sends=ANY_MANIFEST, status=404),
        put_manifest(fallback, tag),
        *put_whole(*new.blobs),
        put_manifest(new.manifest, subject=image.manifest.digest),
        *get_manifest(fallback, tag),
        referrers(image.manifest.digest),
    ]
    answers = replay(wire, rows, always=ORAS, name=repository)

    assert {item["digest"] for item in listed(answers[-1])} == {
        old.manifest.digest,
        new.manifest.digest,
    }


def chart() -> Image:
    """A chart with its provenance, as `helm package --sign` makes it."""
    config = Content(json_bytes({"name": "app", "version": "1.0.0+build.5"}), HELM_CONFIG)
    layers = (random_blob(3000, HELM_CHART), random_blob(500, HELM_PROVENANCE))
    notes = {
        "org.opencontainers.image.title": "app",
        "org.opencontainers.image.version": "1.0.0+build.5",
    }
    return Image(image_manifest(config, layers, annotations=notes), config, layers)


def test_helm_push_and_pull(wire: Wire, repository: str) -> None:
    """Helm pushes a chart under its version with `_` for `+`, finds the tag and pulls it again."""
    made = chart()
    tag = "1.0.0_build.5"
    rows = [
        *put_whole(*made.blobs),
        Row(ask=f"HEAD /v2/{{name}}/manifests/{tag}", sends={"Accept": OCI_MANIFEST}, status=404),
        put_manifest(made.manifest),
        put_manifest(made.manifest, tag),
        Row(
            ask="GET /v2/{name}/tags/list",
            status=200,
            headers={"Link": ABSENT},
        ),
        *get_manifest(made.manifest, tag),
        *(
            Row(ask=f"GET /v2/{{name}}/blobs/{blob.digest}", status=200, answer=blob)
            for blob in made.blobs
        ),
    ]
    answers = replay(wire, rows, always=HELM, name=repository)

    tags = [answer.json() for answer in answers if answer.body.startswith(b'{"name":"clients')]
    assert tags == [{"name": repository, "tags": [tag]}]


@pytest.mark.usefixtures("ours")
def test_notation_sign_and_verify(wire: Wire, repository: str) -> None:
    """Notation resolves the tag, signs the digest, and finds the signature by its type."""
    image = random_image()
    push_image(wire, repository, image, "1")
    signature = random_blob(2000, "application/jose+json")
    notes = {"io.cncf.notary.x509chain.thumbprint#S256": '["00"]'}
    config = Content(b"{}", NOTARY_SIGNATURE)
    signed = image_manifest(
        config,
        [signature],
        subject=image.manifest.descriptor(),
        annotations=notes,
    )
    rows = [
        *get_manifest(image.manifest, "1")[:1],
        *put_whole(signature, config),
        put_manifest(signed, subject=image.manifest.digest),
        *get_manifest(image.manifest, "1")[:1],
        referrers(
            image.manifest.digest,
            "?artifactType=application%2Fvnd.cncf.notary.signature",
            **{"OCI-Filters-Applied": "artifactType"},
        ),
        *get_manifest(signed),
        Row(ask=f"GET /v2/{{name}}/blobs/{signature.digest}", status=200, answer=signature),
    ]
    answers = replay(wire, rows, always=NOTATION, name=repository)

    # Without an artifact type of its own the manifest has that of its config.
    expected = signed.descriptor(artifactType=NOTARY_SIGNATURE, annotations=notes)
    assert listed(answers[-4]) == [expected]


def test_cosign_tags(wire: Wire, repository: str) -> None:
    """Cosign 2 keeps signatures under a tag that it reads, extends and overwrites."""
    image = random_image()
    push_image(wire, repository, image, "1")
    tag = f"sha256-{image.manifest.digest.partition(':')[2]}.sig"
    config = random_image().config
    payloads = [random_blob(250, SIMPLE_SIGNING) for _ in range(2)]

    def signatures(count: int) -> Content:
        layers = [
            payload.descriptor(annotations={"dev.cosignproject.cosign/signature": "MEUC"})
            for payload in payloads[:count]
        ]
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor(),
            "layers": layers,
        }
        return Content(json_bytes(document), OCI_MANIFEST)

    rows = [
        *get_manifest(image.manifest, "1")[:1],
        Row(ask=f"GET /v2/{{name}}/manifests/{tag}", sends=ANY_MANIFEST, status=404),
        *put_whole(payloads[0], config),
        put_manifest(signatures(1), tag),
        *get_manifest(signatures(1), tag),
        *put_whole(payloads[1]),
        put_manifest(signatures(2), tag),
        *get_manifest(signatures(2), tag),
        # The first manifest has lost its tag, not its digest.
        *get_manifest(signatures(1)),
        Row(ask=f"GET /v2/{{name}}/manifests/{tag[:-4]}.att", sends=ANY_MANIFEST, status=404),
    ]
    replay(wire, rows, always=COSIGN, name=repository)


@pytest.mark.usefixtures("ours")
def test_cosign_bundle(wire: Wire, repository: str) -> None:
    """Cosign 3 attaches a bundle by digest, asks for referrers unfiltered, and reads it back."""
    image = random_image()
    push_image(wire, repository, image, "1")
    notes = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
        "org.opencontainers.image.created": "2025-10-01T00:00:00Z",
    }
    bundle = random_blob(4000, BUNDLE)
    attached = artifact(BUNDLE, [bundle], subject=image.manifest, annotations=notes)
    rows = [
        *get_manifest(image.manifest, "1")[:1],
        *put_whole(bundle, EMPTY_CONFIG),
        put_manifest(attached.manifest, subject=image.manifest.digest),
        referrers(image.manifest.digest, **{"OCI-Filters-Applied": ABSENT}),
        *get_manifest(attached.manifest),
        Row(ask=f"GET /v2/{{name}}/blobs/{bundle.digest}", status=200, answer=bundle),
        Row(ask=f"GET /v2/{{name}}/blobs/{EMPTY_CONFIG.digest}", status=200, answer=b"{}"),
    ]
    answers = replay(wire, rows, always=COSIGN, name=repository)

    expected = attached.manifest.descriptor(artifactType=BUNDLE, annotations=notes)
    assert listed(answers[-5]) == [expected]


@pytest.mark.usefixtures("ours")
def test_cosign_signs_before_the_image(wire: Wire, repository: str) -> None:
    """A signature whose subject is elsewhere, or comes later, is kept and listed."""
    image = random_image()
    attached = artifact(BUNDLE, [random_blob()], subject=image.manifest)
    push_image(wire, repository, attached)
    before = replay(wire, [referrers(image.manifest.digest)], always=COSIGN, name=repository)
    push_image(wire, repository, image, "1")
    after = replay(wire, [referrers(image.manifest.digest)], always=COSIGN, name=repository)

    expected = [attached.manifest.descriptor(artifactType=BUNDLE)]
    assert [listed(before[0]), listed(after[0])] == [expected, expected]
