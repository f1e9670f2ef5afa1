# SPDX-License-Identifier: Apache-2.0
"""A real distribution with something of everything in it, and what it serves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.images import (
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    Content,
    Image,
    artifact,
    docker_image,
    index,
    manifest_path,
    push_blob,
    push_image,
    push_manifest,
    random_blob,
    random_image,
)
from tests.support.registry import RunningRegistry
from tests.support.tools import need
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ACCEPTED = tuple(
    ("Accept", f"application/vnd.{kind}+json")
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)


@dataclass
class OldRegistry:
    """The data folder of a distribution that has stopped, and what was pushed to it."""

    root: Path
    manifests: dict[tuple[str, str], Content] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    blobs: dict[tuple[str, str], Content] = field(default_factory=dict)

    @property
    def tree(self) -> Path:
        """Where repositories and blobs are."""
        return self.root / "docker" / "registry" / "v2"

    def blob_file(self, digest: str) -> Path:
        """Where distribution has the bytes."""
        algorithm, _, encoded = digest.partition(":")
        return self.tree / "blobs" / algorithm / encoded[:2] / encoded / "data"


def fill(folder: Path, storage: Mapping[str, object] | None = None) -> OldRegistry:
    """Push to a distribution: images and indexes in both formats, untagged ones, lone blobs.

    It keeps them in `folder`, or where a section `storage` says.
    """
    need("docker-registry", "docker-registry")
    config = {} if storage is None else {"storage": storage}
    running = RunningRegistry(folder, config, program=("docker-registry", "serve"))
    with running:
        old = OldRegistry(running.root)
        with Wire(f"http://{running.host}") as wire:
            _push_all(wire, old)
    return old


def _push_all(wire: Wire, old: OldRegistry) -> None:
    shared = random_blob(5000)
    for name in ("app", "team/app", "team/app/blobs/deep"):
        _push_image(wire, old, name, random_image(layers=2), "1.0", "latest")
        _push_image(wire, old, name, docker_image(), "docker")
        _push_image(wire, old, name, random_image())
        push_blob(wire, name, shared)
        old.blobs[name, shared.digest] = shared
    for media_type, tag in ((OCI_INDEX, "multi"), (DOCKER_MANIFEST_LIST, "list")):
        make = random_image if media_type == OCI_INDEX else docker_image
        images = [make(), make()]
        for image in images:
            _push_image(wire, old, "team/app", image)
        descriptors = [
            image.manifest.descriptor(platform={"os": "linux", "architecture": architecture})
            for image, architecture in zip(images, ("amd64", "arm64"), strict=True)
        ]
        content = index(descriptors, media_type=media_type)
        push_manifest(wire, "team/app", content, tag)
        old.manifests["team/app", content.digest] = content
        old.tags["team/app", tag] = content.digest
        if media_type == OCI_INDEX:
            outer = index([content.descriptor()])
            push_manifest(wire, "team/app", outer, "nested")
            old.manifests["team/app", outer.digest] = outer
            old.tags["team/app", "nested"] = outer.digest
    signature = artifact("application/example", subject=random_blob())
    _push_image(wire, old, "team/app", signature, "signature")


def _push_image(wire: Wire, old: OldRegistry, name: str, image: Image, *tags: str) -> None:
    push_image(wire, name, image, None if not tags else tags[0])
    for tag in tags[1:]:
        push_manifest(wire, name, image.manifest, tag)
    old.manifests[name, image.manifest.digest] = image.manifest
    for blob in image.blobs:
        old.blobs[name, blob.digest] = blob
    for tag in tags:
        old.tags[name, tag] = image.manifest.digest


def assert_serves(wire: Wire, old: OldRegistry) -> None:
    """Every manifest, tag and blob is there under its digest, and no tag more."""
    for (name, digest), manifest in old.manifests.items():
        answer = wire.get(manifest_path(name, digest), *ACCEPTED)
        assert (answer.status, answer.body) == (200, manifest.payload)
        assert answer.headers["Content-Type"] == manifest.media_type
    for (name, tag), digest in old.tags.items():
        answer = wire.head(manifest_path(name, tag), *ACCEPTED)
        assert answer.headers["Docker-Content-Digest"] == digest
    for (name, digest), blob in old.blobs.items():
        assert wire.get(f"/v2/{name}/blobs/{digest}").body == blob.payload
    for name in {name for name, _ in old.tags}:
        listed = json.loads(wire.get(f"/v2/{name}/tags/list").body)["tags"]
        assert sorted(listed) == sorted(tag for known, tag in old.tags if known == name)
