# SPDX-License-Identifier: Apache-2.0
"""The content of the new OCI suite's data sets, built afresh for each test and digest algorithm.

A set lists its blobs, then its manifests in the order of pushing (children first), then its tags.
What a set deliberately does not push (sparse, non-distributable, missing subject) is not in it.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.support.images import (
    EMPTY_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Content,
    image_config,
    index,
    json_bytes,
    random_blob,
    tar_layer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.images import (
        Json,
    )

TYPE_1 = "application/vnd.example.oci.conformance.v1"
TYPE_2 = "application/vnd.example.oci.conformance.v2"
NOT_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
PLATFORMS = ("amd64", "arm64")
ANNOTATIONS = {"org.opencontainers.conformance": "hello conformance test"}


@dataclass(slots=True)
class DataSet:
    """What is pushed together; filled by the builder of its name."""

    algorithm: str
    blobs: dict[str, Content] = field(default_factory=dict)
    manifests: list[Content] = field(default_factory=list)
    tags: dict[str, Content] = field(default_factory=dict)
    referrers: dict[str, list[Json]] = field(default_factory=dict)

    def blob(self, content: Content) -> Content:
        """Add a blob under this set's algorithm."""
        blob = replace(content, algorithm=self.algorithm)
        self.blobs[blob.digest] = blob
        return blob

    def manifest(self, manifest: Content, tag: str | None = None) -> Content:
        """Add a manifest or an index, perhaps with a tag."""
        self.manifests.append(manifest)
        if tag is not None:
            self.tags[tag] = manifest
        return manifest

    def image(
        self,
        tag: str | None = None,
        *,
        architecture: str = "amd64",
        layers: int = 2,
        layer_type: str = OCI_LAYER_GZIP,
        **more: Any,
    ) -> Content:
        """Add an image with real layers."""
        contents = [
            self.blob(tar_layer({f"conformance-{number}.txt": os.urandom(64)}, layer_type))
            for number in range(layers)
        ]
        config = self.blob(image_config(contents, architecture=architecture))
        return self.manifest(self.assemble(config, contents, more), tag)

    def artifact(
        self, artifact_type: str, tag: str | None = None, *, empty: bool = False, **more: Any
    ) -> Content:
        """Add an artifact: an empty config, and one blob of the artifact's type."""
        config = self.blob(EMPTY_CONFIG)
        layer = config if empty else self.blob(random_blob(2048, artifact_type))
        fields = {"artifactType": artifact_type, **more}
        return self.manifest(self.assemble(config, [layer], fields), tag)

    def index(self, children: list[Content], tag: str | None = None, **more: Any) -> Content:
        """Add an index, with a platform for each child that is an image."""
        descriptors = [
            child.descriptor(**_platform(child, number)) for number, child in enumerate(children)
        ]
        return self.manifest(index(descriptors, algorithm=self.algorithm, **more), tag)

    def images(self) -> list[Content]:
        """Add an image for each platform."""
        return [self.image(architecture=name) for name in PLATFORMS]

    def refer(self, manifest: Content, subject: Content, effective_type: str, **more: Any) -> None:
        """Expect the manifest among its subject's referrers."""
        descriptor = manifest.descriptor(artifactType=effective_type, **more)
        self.referrers.setdefault(subject.digest, []).append(descriptor)

    def assemble(
        self, config: Content, layers: list[Content], more: Mapping[str, object]
    ) -> Content:
        """An image manifest known by this set's algorithm, not yet added."""
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor() for layer in layers],
            **more,
        }
        return Content(json_bytes(document), OCI_MANIFEST, self.algorithm)


def _platform(child: Content, number: int) -> Mapping[str, object]:
    if child.media_type != OCI_MANIFEST:
        return {}
    return {"platform": {"os": "linux", "architecture": PLATFORMS[number % 2]}}


def nested_index(data: DataSet) -> None:
    """Two indexes in an index."""
    data.index([data.index(data.images()), data.index(data.images())], "index-of-index")


def artifacts_with_subject(data: DataSet) -> None:
    """An image, an image that refers to it, and two artifacts that do."""
    subject = data.image("image")
    refer = subject.descriptor()
    data.refer(data.image(subject=refer), subject, "application/vnd.oci.image.config.v1+json")
    for number, kind in enumerate((TYPE_1, TYPE_2), 1):
        notes = {**ANNOTATIONS, "org.example.unique": os.urandom(8).hex()}
        artifact = data.artifact(kind, f"tagged-artifact{number}", subject=refer, annotations=notes)
        data.refer(artifact, subject, kind, annotations=notes)


def index_with_subject(data: DataSet) -> None:
    """An index, and an index of artifacts whose children refer to it too."""
    subject = data.index(data.images(), "index")
    refer = subject.descriptor()
    children = []
    for _ in PLATFORMS:
        child = data.artifact(TYPE_1, subject=refer, annotations=ANNOTATIONS)
        data.refer(child, subject, TYPE_1, annotations=ANNOTATIONS)
        children.append(child)
    parent = data.index(
        children, "tagged-artifact", artifactType=TYPE_1, subject=refer, annotations=ANNOTATIONS
    )
    data.refer(parent, subject, TYPE_1, annotations=ANNOTATIONS)


def missing_subject(data: DataSet) -> None:
    """An artifact whose subject nobody pushed."""
    subject = replace(random_blob(123, OCI_MANIFEST), algorithm=data.algorithm)
    artifact = data.artifact(
        TYPE_1, "tagged-artifact", subject=subject.descriptor(), annotations=ANNOTATIONS
    )
    data.refer(artifact, subject, TYPE_1, annotations=ANNOTATIONS)


def data_field(data: DataSet) -> None:
    """Descriptors that carry their content inline."""
    layers = [data.blob(tar_layer({"a": os.urandom(32)})) for _ in range(2)]
    config = data.blob(image_config(layers))
    document = {"config": inline(config), "layers": [inline(layer) for layer in layers]}
    data.manifest(data.assemble(config, layers, document), "data-field")


def inline(content: Content) -> Json:
    """The content's descriptor with the content in it."""
    return content.descriptor(data=base64.b64encode(content.payload).decode())


def not_distributable(data: DataSet) -> None:
    """Two layers that are to be had elsewhere only, and an ordinary one."""
    foreign = [
        replace(random_blob(256, NOT_DISTRIBUTABLE + suffix), algorithm=data.algorithm)
        for suffix in ("+gzip", "")
    ]
    layer = data.blob(tar_layer({"a": os.urandom(32)}))
    config = data.blob(image_config([*foreign, layer]))
    elsewhere = [
        item.descriptor(urls=[f"https://store.example.com/blobs/{item.digest}"]) for item in foreign
    ]
    layers = {"layers": [*elsewhere, layer.descriptor()]}
    data.manifest(data.assemble(config, [], layers), "non-distributable-image")


def custom_fields(data: DataSet) -> None:
    """Fields that no specification knows, at the end of each manifest."""
    extra: dict[str, Any] = {f"org.{os.urandom(4).hex()}": "x"}
    children = [data.image(architecture=name, **extra) for name in PLATFORMS]
    data.index(children, "custom-fields", **extra)


def sparse(data: DataSet) -> None:
    """An image without its first layer, and an index without one of its images."""
    data.image("sparse-image")
    del data.blobs[next(iter(data.blobs))]
    child = data.image()
    absent = replace(random_blob(1024, OCI_MANIFEST), algorithm=data.algorithm)
    data.index([child, absent], "sparse-index")


def large_manifest(data: DataSet) -> None:
    """A manifest of 3.9 MB, most of it annotations."""
    notes = {f"large-annotation-{number}": "A" * 10000 for number in range(390)}
    data.image("large-manifest", annotations=notes)


def artifact_index(data: DataSet) -> None:
    """An index of artifacts with the artifact type itself."""
    children = [data.artifact(TYPE_1) for _ in PLATFORMS]
    data.index(children, "artifact-index", artifactType=TYPE_1)


def tag_every_manifest(data: DataSet) -> None:
    """An index and its children, each with a tag of its own, the index with two."""
    data.index(data.images(), "tag-param")
    for number, manifest in enumerate(data.manifests):
        data.tags[f"tag-param-{number}"] = manifest


BUILDERS: dict[str, Callable[[DataSet], object]] = {
    "image": lambda data: data.image("image"),
    "image-uncompressed": lambda data: data.image("image-uncompressed", layer_type=OCI_LAYER),
    "large-manifest": large_manifest,
    "index": lambda data: data.index(data.images(), "index"),
    "nested-index": nested_index,
    "empty-index": lambda data: data.index([], "index"),
    "artifact": lambda data: data.artifact(TYPE_1, "artifact"),
    "artifact-index": artifact_index,
    "artifact-without-layers": lambda data: data.artifact(TYPE_1, "artifact", empty=True),
    "artifacts-with-subject": artifacts_with_subject,
    "index-with-subject": index_with_subject,
    "missing-subject": missing_subject,
    "data-field": data_field,
    "non-distributable-layers": not_distributable,
    "custom-fields": custom_fields,
    "no-layers": lambda data: data.image("no-layers", layers=0),
    "sparse": sparse,
    "tag-param": tag_every_manifest,
}


def build(name: str, algorithm: str) -> DataSet:
    """The named set with new content."""
    data = DataSet(algorithm)
    BUILDERS[name](data)
    return data
