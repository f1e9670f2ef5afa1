# SPDX-License-Identifier: Apache-2.0
"""Images without a client: random blobs, manifests and indexes as bytes, and how to push them.

A manifest is built once and kept as bytes; nothing here serializes it again, because its digest is
that of the bytes. The push helpers use the plainest form of each request and insist on the status
the specification gives it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.wire import Answer, Wire

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCTET_STREAM = "application/octet-stream"

Json = dict[str, object]


def digest_of(payload: bytes, algorithm: str = "sha256") -> str:
    """The digest of the bytes as `algorithm:hex`."""
    return f"{algorithm}:{hashlib.new(algorithm, payload).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Content:
    """Some bytes with a media type: a blob or a manifest, before it is pushed."""

    payload: bytes
    media_type: str = OCTET_STREAM
    algorithm: str = "sha256"

    @property
    def digest(self) -> str:
        """The digest of the payload."""
        return digest_of(self.payload, self.algorithm)

    @property
    def size(self) -> int:
        """The length of the payload."""
        return len(self.payload)

    def descriptor(self, **more: object) -> Json:
        """The descriptor that refers to this content; `more` adds fields to it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}


EMPTY_CONFIG = Content(b"{}", OCI_EMPTY)
EMPTY_BLOB = Content(b"")


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest together with the blobs that it refers to."""

    manifest: Content
    config: Content
    layers: tuple[Content, ...] = field(default=())

    @property
    def blobs(self) -> tuple[Content, ...]:
        """Config and layers, in the order a client pushes them."""
        return (*self.layers, self.config)


def json_bytes(document: object) -> bytes:
    """The document as compact JSON, keys in the order given."""
    return json.dumps(document, separators=(",", ":")).encode()


def random_blob(size: int = 1024, media_type: str = OCTET_STREAM) -> Content:
    """A blob that no registry has seen before."""
    return Content(os.urandom(size), media_type)


def tar_layer(files: Mapping[str, bytes], media_type: str = OCI_LAYER_GZIP) -> Content:
    """A layer with the given files, gzipped unless the media type is a plain tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, payload in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(payload)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(payload))
    payload = buffer.getvalue()
    return Content(gzip.compress(payload, mtime=0) if "gzip" in media_type else payload, media_type)


def image_config(
    layers: Sequence[Content],
    *,
    architecture: str = "amd64",
    media_type: str = OCI_CONFIG,
    command: Sequence[str] = (),
) -> Content:
    """An image config for gzipped or plain layers; layers that are neither count as they stand."""
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": [*command]} if command else {},
        "rootfs": {"type": "layers", "diff_ids": [_diff_id(layer) for layer in layers]},
        "history": [{"created_by": os.urandom(8).hex()}],
    }
    return Content(json_bytes(document), media_type)


def _diff_id(layer: Content) -> str:
    is_gzip = layer.payload.startswith(b"\x1f\x8b")
    return digest_of(gzip.decompress(layer.payload) if is_gzip else layer.payload)


def image_manifest(
    config: Content,
    layers: Sequence[Content],
    *,
    media_type: str = OCI_MANIFEST,
    algorithm: str = "sha256",
    **more: object,
) -> Content:
    """An image manifest; `more` adds fields such as artifactType, subject and annotations."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
        **more,
    }
    return Content(json_bytes(document), media_type, algorithm)


def index(
    children: Sequence[Json],
    *,
    media_type: str = OCI_INDEX,
    algorithm: str = "sha256",
    **more: object,
) -> Content:
    """An index over descriptors."""
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": [*children], **more}
    return Content(json_bytes(document), media_type, algorithm)


def random_image(
    *,
    layers: int = 1,
    layer_size: int = 1024,
    architecture: str = "amd64",
    **more: object,
) -> Image:
    """An OCI image that no registry has seen before; its layers are real tars."""
    contents = tuple(
        tar_layer({f"file{number}": os.urandom(layer_size)}) for number in range(layers)
    )
    config = image_config(contents, architecture=architecture)
    return Image(image_manifest(config, contents, **more), config, contents)  # type: ignore[arg-type]


def docker_image(*, layers: int = 1, layer_size: int = 1024) -> Image:
    """The same in Docker's own media types."""
    contents = tuple(
        tar_layer({f"file{number}": os.urandom(layer_size)}, DOCKER_LAYER)
        for number in range(layers)
    )
    config = image_config(contents, media_type=DOCKER_CONFIG)
    manifest = image_manifest(config, contents, media_type=DOCKER_MANIFEST)
    return Image(manifest, config, contents)


def artifact(
    artifact_type: str,
    blobs: Sequence[Content] = (),
    *,
    subject: Content | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An artifact with an empty config, as oras, cosign and notation make them."""
    layers = tuple(blobs) or (EMPTY_CONFIG,)
    more: Json = {"artifactType": artifact_type}
    if subject is not None:
        more["subject"] = subject.descriptor()
    if annotations is not None:
        more["annotations"] = dict(annotations)
    manifest = image_manifest(EMPTY_CONFIG, layers, **more)  # type: ignore[arg-type]
    return Image(manifest, EMPTY_CONFIG, layers)


def blob_path(repository: str, digest: str) -> str:
    """Where a blob is."""
    return f"/v2/{repository}/blobs/{digest}"


def manifest_path(repository: str, reference: str) -> str:
    """Where a manifest is."""
    return f"/v2/{repository}/manifests/{reference}"


def with_digest(location: str, digest: str) -> str:
    """The upload location with the digest added to its query."""
    return f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe='')}"


def open_upload(wire: Wire, repository: str) -> str:
    """Open an upload session; return its location."""
    answer = wire.post(f"/v2/{repository}/blobs/uploads/")
    assert answer.status == 202, answer
    return answer.location


def push_blob(wire: Wire, repository: str, blob: Content) -> Answer:
    """Push a blob by POST and PUT."""
    location = open_upload(wire, repository)
    answer = wire.put(
        with_digest(location, blob.digest), ("Content-Type", OCTET_STREAM), body=blob.payload
    )
    assert answer.status == 201, answer
    return answer


def push_manifest(
    wire: Wire, repository: str, manifest: Content, reference: str | None = None
) -> Answer:
    """Push a manifest under a tag, or by its digest when no reference is given."""
    answer = wire.put(
        manifest_path(repository, reference or manifest.digest),
        ("Content-Type", manifest.media_type),
        body=manifest.payload,
    )
    assert answer.status == 201, answer
    return answer


def push_image(wire: Wire, repository: str, image: Image, reference: str | None = None) -> Answer:
    """Push the blobs of an image and then its manifest."""
    for blob in {blob.digest: blob for blob in image.blobs}.values():
        push_blob(wire, repository, blob)
    return push_manifest(wire, repository, image.manifest, reference)
