# SPDX-License-Identifier: Apache-2.0
"""Manifests that are wrong or that two readers could take for different things: all refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec import media_types as mt
from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid, ManifestInvalid, OCIError
from moorage.spec.manifests import parse_manifest
from tests.spec.documents import Document, artifact, descriptor, image, index, parse, without

REFUSED: list[tuple[str, object, str | None, type[OCIError]]] = [
    ("a list", [], None, ManifestInvalid),
    ("a text", "x", None, ManifestInvalid),
    ("null", None, None, ManifestInvalid),
    ("an empty object", {}, None, ManifestInvalid),
    ("only a version", {"schemaVersion": 2}, None, ManifestInvalid),
    (
        "layers and manifests, untyped",
        without(image(manifests=[]), "mediaType"),
        None,
        ManifestInvalid,
    ),
    ("an image with manifests", image(manifests=[]), mt.OCI_MANIFEST, ManifestInvalid),
    ("an index with layers", index(layers=[]), mt.OCI_INDEX, ManifestInvalid),
    ("an index with a config", index(config={}), mt.OCI_INDEX, ManifestInvalid),
    ("an artifact with layers", artifact(layers=[]), None, ManifestInvalid),
    ("an artifact with manifests", artifact(manifests=[]), None, ManifestInvalid),
    (
        "an index under an image's header",
        without(index(), "mediaType"),
        mt.OCI_MANIFEST,
        ManifestInvalid,
    ),
    ("header and body disagree", image(), mt.OCI_INDEX, ManifestInvalid),
    ("Docker header, OCI body", image(), mt.DOCKER_MANIFEST, ManifestInvalid),
    ("mediaType with parameters", image(mediaType=f"{mt.OCI_MANIFEST};a=b"), None, ManifestInvalid),
    ("mediaType in upper case", image(mediaType=mt.OCI_MANIFEST.upper()), None, ManifestInvalid),
    ("mediaType not text", image(mediaType=[mt.OCI_MANIFEST]), None, ManifestInvalid),
    (
        "a Docker image without mediaType",
        image(mediaType=None),
        mt.DOCKER_MANIFEST,
        ManifestInvalid,
    ),
    (
        "a Docker list without mediaType",
        index(mediaType=None),
        mt.DOCKER_MANIFEST_LIST,
        ManifestInvalid,
    ),
    ("no schemaVersion", without(image(), "schemaVersion"), None, ManifestInvalid),
    ("schemaVersion 1", image(schemaVersion=1), None, ManifestInvalid),
    ("schemaVersion as text", image(schemaVersion="2"), None, ManifestInvalid),
    ("schemaVersion as a float", image(schemaVersion=2.0), None, ManifestInvalid),
    ("schemaVersion true", image(schemaVersion=True), None, ManifestInvalid),
    ("an artifact of schemaVersion 1", artifact(schemaVersion=1), None, ManifestInvalid),
    ("schema 1", {"schemaVersion": 1, "fsLayers": []}, mt.DOCKER_SCHEMA1_MANIFEST, ManifestInvalid),
    (
        "signed schema 1",
        {"schemaVersion": 1},
        mt.DOCKER_SCHEMA1_SIGNED_MANIFEST,
        ManifestInvalid,
    ),
    ("schema 1 without a type", {"schemaVersion": 1, "fsLayers": []}, None, ManifestInvalid),
    (
        "an unsupported type",
        image(mediaType="application/vnd.x"),
        "application/vnd.x",
        ManifestInvalid,
    ),
    ("plain JSON", without(image(), "mediaType"), "application/json", ManifestInvalid),
    ("a config's type", image(mediaType=mt.OCI_CONFIG), None, ManifestInvalid),
    ("no config", without(image(), "config"), None, ManifestInvalid),
    ("config null", image(config=None), None, ManifestInvalid),
    ("config empty", image(config={}), None, ManifestInvalid),
    ("a bad config digest", image(config=descriptor(digest="sha256:x")), None, DigestInvalid),
    ("a bad layer digest", image(layers=[descriptor(digest="sha256:x")]), None, DigestInvalid),
    ("a bad child digest", index(manifests=[descriptor(digest="latest")]), None, DigestInvalid),
    ("a bad subject digest", image(subject=descriptor(digest="sha1:ab")), None, DigestInvalid),
    ("an empty subject", image(subject={}), None, ManifestInvalid),
    ("a subject that is text", image(subject="sha256:x"), None, ManifestInvalid),
    ("a negative size", image(layers=[descriptor(size=-1)]), None, ManifestInvalid),
    ("a size beyond 64 bits", image(layers=[descriptor(size=2**63)]), None, ManifestInvalid),
    ("layers that are no list", image(layers={}), None, ManifestInvalid),
    ("a layer that is null", image(layers=[None]), None, ManifestInvalid),
    ("annotations that are a list", image(annotations=[]), None, ManifestInvalid),
    ("an annotation that is a number", image(annotations={"a": 1}), None, ManifestInvalid),
    ("artifactType not text", image(artifactType=1), None, ManifestInvalid),
    ("artifactType with zero", image(artifactType="a/b\0"), None, ManifestInvalid),
    ("Layers beside layers", image(Layers=[]), None, ManifestInvalid),
    ("Manifests in an image", image(Manifests=[]), None, ManifestInvalid),
    ("data that is other content", image(layers=[descriptor(data="e3s=")]), None, ManifestInvalid),
]


@pytest.mark.parametrize(
    ("document", "content_type", "kind"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_what_is_wrong_or_ambiguous_is_refused(
    document: object, content_type: str | None, kind: type[OCIError]
) -> None:
    """The refusal is a 400 with a sentence in plain ASCII."""
    with pytest.raises(kind) as caught:
        parse(document, content_type)

    assert caught.value.status == 400
    assert caught.value.message.isascii()
    assert caught.value.message.endswith(".")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
members = st.sampled_from(
    [
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "blobs",
        "subject",
        "artifactType",
    ]
)


@given(
    st.sampled_from([image(), index(), artifact()]),
    st.dictionaries(members, json_values, max_size=3),
    st.none() | st.sampled_from(sorted(mt.MANIFEST_TYPES)) | st.text(),
)
def test_damaged_manifests_are_read_or_refused(
    document: Document, damage: Document, content_type: str | None
) -> None:
    """Replacing members by anything gives a manifest with valid references or an OCIError."""
    try:
        manifest = parse(document | damage, content_type)
    except OCIError:
        return
    for reference in manifest.references():
        assert reference.descriptor.digest == Digest.parse(reference.descriptor.digest)
        assert reference.descriptor.size >= 0


@given(st.binary(), st.none() | st.text())
def test_any_bytes_are_a_manifest_or_refused(payload: bytes, content_type: str | None) -> None:
    """No body and no header raise anything but an OCIError."""
    with pytest.raises(OCIError):
        parse_manifest(payload, content_type)
