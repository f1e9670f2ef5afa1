# SPDX-License-Identifier: Apache-2.0
"""Small manifests as JSON documents, to be changed by one member a case."""

from __future__ import annotations

import json
from typing import Any

from moorage.spec import media_types as mt
from moorage.spec.digests import Digest
from moorage.spec.manifests import Manifest, parse_manifest

Document = dict[str, Any]


def descriptor(content: bytes = b"{}", media_type: str = mt.OCI_LAYER, **more: object) -> Document:
    """A descriptor of the content."""
    found: Document = {
        "mediaType": media_type,
        "digest": str(Digest.of(content)),
        "size": len(content),
    }
    return found | more


def image(**changes: object) -> Document:
    """A small OCI image manifest."""
    found: Document = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": descriptor(b"config", mt.OCI_CONFIG),
        "layers": [descriptor(b"one"), descriptor(b"two")],
    }
    return found | changes


def index(**changes: object) -> Document:
    """A small OCI index."""
    found: Document = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_INDEX,
        "manifests": [
            descriptor(b"a", mt.OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"})
        ],
    }
    return found | changes


def artifact(**changes: object) -> Document:
    """An artifact manifest of before OCI 1.1."""
    found: Document = {
        "mediaType": mt.OCI_ARTIFACT_MANIFEST,
        "artifactType": "application/vnd.example.sbom",
        "blobs": [descriptor(b"blob", "text/plain")],
    }
    return found | changes


def without(document: Document, *names: str) -> Document:
    """The document less some members."""
    return {name: value for name, value in document.items() if name not in names}


def parse(document: object, content_type: str | None = None) -> Manifest:
    """The manifest in the document."""
    return parse_manifest(json.dumps(document).encode(), content_type)
