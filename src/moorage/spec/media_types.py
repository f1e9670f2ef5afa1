# SPDX-License-Identifier: Apache-2.0
"""The media types that mean something to a registry, and questions about them.

The registry stores any type of config and layer; these are the ones that decide how a manifest is
read, what must have been uploaded, and what pages and scanners recognize. Invariant: constants are
bare types, without parameters, as they appear in `Content-Type`.
"""

from __future__ import annotations

from typing import Final

OCTET_STREAM: Final = "application/octet-stream"
JSON: Final = "application/json"

# Manifests and indexes.
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_ARTIFACT_MANIFEST: Final = "application/vnd.oci.artifact.manifest.v1+json"
ORAS_ARTIFACT_MANIFEST: Final = "application/vnd.cncf.oras.artifact.manifest.v1+json"
DOCKER_SCHEMA1_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"

# Configs.
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_PLUGIN_CONFIG: Final = "application/vnd.docker.plugin.v1+json"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
HELM_CONFIG: Final = "application/vnd.cncf.helm.config.v1+json"
BUILDKIT_CACHE_CONFIG: Final = "application/vnd.buildkit.cacheconfig.v0"
TRIVY_CONFIG: Final = "application/vnd.aquasec.trivy.config.v1+json"

# Layers.
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD: Final = "application/vnd.docker.image.rootfs.diff.tar.zstd"
HELM_CHART: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
HELM_PROVENANCE: Final = "application/vnd.cncf.helm.chart.provenance.v1.prov"

IMAGE_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
ARTIFACT_TYPES: Final = frozenset({OCI_ARTIFACT_MANIFEST, ORAS_ARTIFACT_MANIFEST})
DOCKER_TYPES: Final = frozenset({DOCKER_MANIFEST, DOCKER_MANIFEST_LIST})
SCHEMA1_TYPES: Final = frozenset({DOCKER_SCHEMA1_MANIFEST, DOCKER_SCHEMA1_SIGNED_MANIFEST})
MANIFEST_TYPES: Final = IMAGE_TYPES | INDEX_TYPES | ARTIFACT_TYPES
IMAGE_CONFIG_TYPES: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})
LAYER_TYPES: Final = frozenset(
    {
        OCI_LAYER,
        OCI_LAYER_GZIP,
        OCI_LAYER_ZSTD,
        DOCKER_LAYER,
        DOCKER_LAYER_GZIP,
        DOCKER_LAYER_ZSTD,
    }
)
SIGNATURE_TYPES: Final = frozenset(
    {
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.dev.cosign.artifact.sig.v1+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.cncf.notary.signature",
        "application/jose+json",
        "application/cose",
    }
)
ATTESTATION_TYPES: Final = frozenset(
    {
        "application/vnd.dev.cosign.artifact.att.v1+json",
        "application/vnd.in-toto+json",
        "application/vnd.openvex+json",
    }
)
SBOM_TYPES: Final = frozenset(
    {
        "application/vnd.dev.cosign.artifact.sbom.v1+json",
        "application/spdx+json",
        "text/spdx+json",
        "application/vnd.cyclonedx+json",
        "application/vnd.syft+json",
    }
)

_NON_DISTRIBUTABLE_PREFIXES: Final = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)


def is_non_distributable(media_type: str) -> bool:
    """Whether clients may leave out a layer of this type when they push."""
    return media_type.startswith(_NON_DISTRIBUTABLE_PREFIXES)


def without_parameters(header: str) -> str:
    """The bare media type of a `Content-Type` value: lower case, no `; charset=…`."""
    return header.partition(";")[0].strip().lower()
