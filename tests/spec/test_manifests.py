# SPDX-License-Identifier: Apache-2.0
"""Manifests: all that real clients push is understood, with the right references."""

from __future__ import annotations

import json

import pytest

from moorage.spec import media_types as mt
from moorage.spec.manifests import Manifest, parse_manifest
from tests.spec.documents import Document, artifact, descriptor, image, index, parse, without

FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NON_DISTRIBUTABLE_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def references(manifest: Manifest) -> list[tuple[str, bool]]:
    """Kind and necessity of each reference."""
    return [(reference.kind, reference.required) for reference in manifest.references()]


IMAGE_REFERENCES = [("config", True), ("layer", True), ("layer", True)]

ACCEPTED: list[tuple[str, Document, str | None, str, list[tuple[str, bool]]]] = [
    ("an OCI image", image(), mt.OCI_MANIFEST, mt.OCI_MANIFEST, IMAGE_REFERENCES),
    (
        "a Docker image",
        image(mediaType=mt.DOCKER_MANIFEST),
        mt.DOCKER_MANIFEST,
        mt.DOCKER_MANIFEST,
        IMAGE_REFERENCES,
    ),
    ("an OCI index", index(), mt.OCI_INDEX, mt.OCI_INDEX, [("child", True)]),
    (
        "a Docker list",
        index(mediaType=mt.DOCKER_MANIFEST_LIST),
        mt.DOCKER_MANIFEST_LIST,
        mt.DOCKER_MANIFEST_LIST,
        [("child", True)],
    ),
    (
        "a Content-Type with parameters",
        image(),
        f"{mt.OCI_MANIFEST}; charset=utf-8",
        mt.OCI_MANIFEST,
        IMAGE_REFERENCES,
    ),
    ("no Content-Type", image(), None, mt.OCI_MANIFEST, IMAGE_REFERENCES),
    ("an empty Content-Type", index(), "", mt.OCI_INDEX, [("child", True)]),
    (
        "an image without mediaType",
        without(image(), "mediaType"),
        mt.OCI_MANIFEST,
        mt.OCI_MANIFEST,
        IMAGE_REFERENCES,
    ),
    ("an empty mediaType", image(mediaType=""), None, mt.OCI_MANIFEST, IMAGE_REFERENCES),
    (
        "an index without mediaType",
        index(mediaType=None),
        mt.OCI_INDEX,
        mt.OCI_INDEX,
        [("child", True)],
    ),
    (
        "an image without any type",
        without(image(), "mediaType"),
        None,
        mt.OCI_MANIFEST,
        IMAGE_REFERENCES,
    ),
    (
        "an index without any type",
        without(index(), "mediaType"),
        None,
        mt.OCI_INDEX,
        [("child", True)],
    ),
    ("no layers", image(layers=[]), None, mt.OCI_MANIFEST, [("config", True)]),
    ("layers null", image(layers=None), None, mt.OCI_MANIFEST, [("config", True)]),
    ("layers absent", without(image(), "layers"), None, mt.OCI_MANIFEST, [("config", True)]),
    ("no manifests", index(manifests=[]), None, mt.OCI_INDEX, []),
    ("manifests null", index(manifests=None), None, mt.OCI_INDEX, []),
    ("manifests null in an image", image(manifests=None), None, mt.OCI_MANIFEST, IMAGE_REFERENCES),
    (
        "config null in an index",
        index(config=None, layers=None),
        None,
        mt.OCI_INDEX,
        [("child", True)],
    ),
    (
        "null annotations, subject and artifact type",
        image(annotations=None, subject=None, artifactType=None),
        None,
        mt.OCI_MANIFEST,
        IMAGE_REFERENCES,
    ),
    (
        "unknown members",
        image(newUnspecifiedField={"a": 1}, blobs="x", history=[]),
        None,
        mt.OCI_MANIFEST,
        IMAGE_REFERENCES,
    ),
    (
        "any config and layer type",
        image(
            config=descriptor(b"c", mt.HELM_CONFIG), layers=[descriptor(b"l", "application/x; a=b")]
        ),
        None,
        mt.OCI_MANIFEST,
        [("config", True), ("layer", True)],
    ),
    (
        "the same layer three times",
        image(layers=[descriptor(b"l")] * 3),
        None,
        mt.OCI_MANIFEST,
        [("config", True)] + [("layer", True)] * 3,
    ),
    (
        "a subject that may be missing",
        image(subject=descriptor(b"s", mt.OCI_MANIFEST)),
        None,
        mt.OCI_MANIFEST,
        [*IMAGE_REFERENCES, ("subject", False)],
    ),
    (
        "an index with a subject",
        index(subject=descriptor(b"s", mt.OCI_MANIFEST)),
        None,
        mt.OCI_INDEX,
        [("child", True), ("subject", False)],
    ),
    (
        "layers that need not be pushed",
        image(
            layers=[
                descriptor(b"1", FOREIGN_LAYER),
                descriptor(b"2", NON_DISTRIBUTABLE_LAYER),
                descriptor(b"3", urls=["https://example.com/layer"]),
            ]
        ),
        None,
        mt.OCI_MANIFEST,
        [("config", True)] + [("layer", False)] * 3,
    ),
    (
        "layers that must be pushed all the same",
        image(
            layers=[
                descriptor(b"1", urls=[]),
                descriptor(b"2", urls=[""]),
                descriptor(b"{}", data="e30="),
            ]
        ),
        None,
        mt.OCI_MANIFEST,
        [("config", True)] + [("layer", True)] * 3,
    ),
    (
        "a config that must be there even with urls and data",
        image(
            config=descriptor(b"{}", mt.OCI_EMPTY, data="e30=", urls=["https://example.com"]),
            layers=[],
        ),
        None,
        mt.OCI_MANIFEST,
        [("config", True)],
    ),
    (
        "an index of indexes, unknown types and layers, as buildkit's cache",
        index(
            manifests=[
                descriptor(b"1", mt.OCI_INDEX),
                descriptor(b"2", "application/vnd.example.unknown"),
                descriptor(b"3", mt.OCI_LAYER_GZIP),
                descriptor(b"4", mt.BUILDKIT_CACHE_CONFIG),
                descriptor(b"5", mt.OCI_MANIFEST, platform={"os": "unknown"}),
                descriptor(b"6", mt.OCI_MANIFEST, urls=["https://example.com"]),
            ]
        ),
        None,
        mt.OCI_INDEX,
        [("child", True)] * 6,
    ),
    (
        "an OCI artifact manifest",
        artifact(subject=descriptor(b"s", mt.OCI_MANIFEST)),
        mt.OCI_ARTIFACT_MANIFEST,
        mt.OCI_ARTIFACT_MANIFEST,
        [("layer", True), ("subject", False)],
    ),
    (
        "an ORAS artifact manifest",
        artifact(mediaType=mt.ORAS_ARTIFACT_MANIFEST, schemaVersion=2, blobs=None),
        None,
        mt.ORAS_ARTIFACT_MANIFEST,
        [],
    ),
    (
        "an artifact manifest typed by its header alone",
        without(artifact(), "mediaType"),
        mt.OCI_ARTIFACT_MANIFEST,
        mt.OCI_ARTIFACT_MANIFEST,
        [("layer", True)],
    ),
]


@pytest.mark.parametrize(
    ("document", "content_type", "media_type", "expected"),
    [case[1:] for case in ACCEPTED],
    ids=[case[0] for case in ACCEPTED],
)
def test_what_clients_push_is_understood(
    document: Document,
    content_type: str | None,
    media_type: str,
    expected: list[tuple[str, bool]],
) -> None:
    """The manifest gets its type and exactly the references, with their necessity."""
    manifest = parse(document, content_type)

    assert media_type == manifest.media_type
    assert expected == references(manifest)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (image(), mt.OCI_CONFIG),
        (image(artifactType="application/vnd.example"), "application/vnd.example"),
        (image(artifactType=""), mt.OCI_CONFIG),
        (image(config=descriptor(b"{}", mt.OCI_EMPTY)), mt.OCI_EMPTY),
        (image(config=descriptor(b"{}", "")), None),
        (image(mediaType=mt.DOCKER_MANIFEST), mt.OCI_CONFIG),
        (index(), None),
        (index(artifactType="application/vnd.example"), "application/vnd.example"),
        (artifact(), "application/vnd.example.sbom"),
        (artifact(artifactType=None), None),
    ],
)
def test_the_artifact_type_is_the_one_for_referrers(
    document: Document, expected: str | None
) -> None:
    """A manifest's own artifactType wins; only images fall back to their config's type."""
    assert expected == parse(document).artifact_type


def test_annotations_and_platforms_are_kept() -> None:
    """What referrers and the choice of a child need is there after parsing."""
    manifest = parse(index(annotations={"a": "b"}))

    assert manifest.annotations == {"a": "b"}
    assert manifest.children[0].platform is not None
    assert manifest.children[0].platform.architecture == "amd64"


def test_a_manifest_of_nearly_four_mebibytes_is_read() -> None:
    """A manifest close to the usual size limit, full of layers, is within the parser's bounds."""
    count = 30_000
    payload = json.dumps(image(layers=[descriptor(b"l")] * count)).encode()

    assert 3_900_000 < len(payload) < 4 * 1024 * 1024 + 1_000_000
    assert len(parse_manifest(payload, mt.OCI_MANIFEST).layers) == count
