# SPDX-License-Identifier: Apache-2.0
"""The content of the old OCI suite (v1.1.1) and the set-ups that its 80 specs share.

The suite runs its specs in one order on one repository. Here every spec makes what it needs, so
that each stands alone; `World` is a fresh repository with the suite's kind of content.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.conformance.verbs import Repository, assert_error, tags_of
from tests.support.images import (
    EMPTY_CONFIG,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Content,
    Json,
    digest_of,
    random_blob,
    tar_layer,
)

TYPE_A = "application/vnd.nhl.peanut.butter.bagel"
TYPE_B = "application/vnd.nba.strawberry.jam.croissant"
TYPE_INDEX = "application/vnd.food.stand"
ANNOTATION = "org.opencontainers.conformance.test"
TAGS = ["test0", "test1", "test2", "test3"]
INVALID_NAME = ".INVALID_MANIFEST_NAME"
HALF = 22


def pretty(document: Mapping[str, object], media_type: str) -> Content:
    """JSON as the suite writes it: indented by tabs, for the bytes are what counts."""
    return Content(json.dumps(document, indent="\t").encode(), media_type)


def config_of(author: str) -> Content:
    """An image config that no other run has."""
    rootfs = {"type": "layers", "diff_ids": []}
    document = {"architecture": "amd64", "os": "linux", "author": author, "rootfs": rootfs}
    return pretty(document, OCI_CONFIG)


def manifest_of(config: Content, layers: list[Content], **more: object) -> Content:
    """An image manifest with a field in its config descriptor that nobody knows."""
    document: Json = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(newUnspecifiedField="aGVsbG8gd29ybGQ="),
        "layers": [layer.descriptor() for layer in layers],
        **more,
    }
    return pretty({key: value for key, value in document.items() if value != ""}, OCI_MANIFEST)


@dataclass(slots=True)
class World:
    """One repository and the content that a workflow of the suite puts into it."""

    repository: Repository
    configs: list[Content] = field(
        default_factory=lambda: [config_of(os.urandom(8).hex()) for _ in range(5)]
    )
    layer: Content = field(default_factory=lambda: tar_layer({"test.txt": os.urandom(60)}))
    blob_a: Content = field(default_factory=lambda: random_blob(42))
    blob_b: Content = field(default_factory=lambda: random_blob(42))

    @property
    def manifests(self) -> list[Content]:
        """A manifest for each config."""
        return [manifest_of(config, [self.layer]) for config in self.configs]

    @property
    def no_layers(self) -> Content:
        """A manifest without layers and without a mediaType of its own."""
        return manifest_of(self.configs[1], [], mediaType="")

    def populate(self, number: int, *tags: str) -> Content:
        """Push a config, the layer and their manifest, by digest and under tags."""
        self.repository.push_blob(self.configs[number])
        self.repository.push_blob(self.layer)
        manifest = self.manifests[number]
        for reference in (manifest.digest, *tags):
            self.repository.push_manifest(manifest, reference)
        return manifest

    def chunks(self) -> tuple[str, str]:
        """Open a session and send the first half of blob B; the first and the second location."""
        first = self.repository.open()
        answer = self.repository.chunk(first, self.blob_b.payload[:HALF], 0)
        assert answer.status == 202, answer
        assert answer.headers["Range"] == f"0-{HALF - 1}"
        return first, answer.location


@dataclass(slots=True)
class References:
    """The artifacts of the suite: five refer to a manifest that comes in between, one to none."""

    world: World
    blob_a: Content = field(default_factory=lambda: random_blob(33, TYPE_A))
    blob_b: Content = field(default_factory=lambda: random_blob(38, TYPE_B))

    @property
    def subject(self) -> Content:
        """What five artifacts refer to."""
        return self.world.manifests[4]

    @property
    def absent(self) -> Content:
        """What one artifact refers to, although it is never pushed."""
        return self.world.manifests[3]

    @property
    def of_type_a(self) -> list[Content]:
        """Pushed before the subject: the type in the config, and the type in artifactType."""
        return [self._by_config(self.blob_a, "a"), self._by_type(TYPE_A, self.blob_a, "a")]

    @property
    def of_type_b(self) -> list[Content]:
        """The same, pushed after the subject."""
        return [self._by_config(self.blob_b, "b"), self._by_type(TYPE_B, self.blob_b, "b")]

    @property
    def index(self) -> Content:
        """An index over the first two, with the same subject."""
        document: Json = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "artifactType": TYPE_INDEX,
            "manifests": [child.descriptor() for child in self.of_type_a],
            "subject": self.subject.descriptor(),
            "annotations": {ANNOTATION: "test index"},
        }
        return pretty(document, OCI_INDEX)

    @property
    def orphan(self) -> Content:
        """An artifact of type B whose subject is absent."""
        return manifest_of(
            EMPTY_CONFIG,
            [self.blob_b],
            artifactType=TYPE_B,
            subject=self.absent.descriptor(),
        )

    def push(self) -> References:
        """Push in the suite's order: type A, the index, the subject, type B, the orphan."""
        repository = self.world.repository
        for blob in (EMPTY_CONFIG, self.blob_a):
            repository.push_blob(blob)
        for manifest in (*self.of_type_a, self.index):
            self._put(manifest, self.subject)
        self.world.populate(4, "tagtest0")
        repository.push_blob(self.blob_b)
        for manifest in self.of_type_b:
            self._put(manifest, self.subject)
        self._put(self.orphan, self.absent)
        return self

    def _put(self, manifest: Content, subject: Content) -> None:
        answer = self.world.repository.push_manifest(manifest)
        assert answer.headers["OCI-Subject"] == subject.digest

    def _by_config(self, blob: Content, letter: str) -> Content:
        return manifest_of(
            blob,
            [EMPTY_CONFIG],
            subject=self.subject.descriptor(),
            annotations={ANNOTATION: f"test config {letter}"},
        )

    def _by_type(self, artifact_type: str, blob: Content, letter: str) -> Content:
        return manifest_of(
            EMPTY_CONFIG,
            [blob],
            artifactType=artifact_type,
            subject=self.subject.descriptor(),
            annotations={ANNOTATION: f"test layer {letter}"},
        )


def absent_digest() -> str:
    """The digest of something nobody ever pushed."""
    return digest_of(os.urandom(32))


Check = Callable[[World], None]
Row = tuple[str, Check]


def pushes_blob(number: int) -> Check:
    """A config is pushed by POST and PUT."""
    return lambda world: _is_201(world.repository.push_blob(world.configs[number]).status)


def pushes_layer(world: World) -> None:
    """The layer is pushed by POST and PUT."""
    _is_201(world.repository.push_blob(world.layer).status)


def pushes_manifest(number: int, *tags: str) -> Check:
    """A manifest is pushed after its blobs."""

    def check(world: World) -> None:
        manifest = world.populate(number, *tags)
        for reference in (manifest.digest, *tags):
            assert world.repository.head_manifest(reference).status == 200

    return check


def _is_201(status: int) -> None:
    assert status == 201


def deletes(number: int, kinds: str) -> tuple[Check, Check]:
    """The same content deleted in this order, and in the opposite one."""

    def run(world: World, order: list[str]) -> None:
        manifest = world.populate(number, "tagtest0")
        for kind in order:
            if kind == "manifest":
                assert world.repository.delete_manifest(manifest).status == 202
                assert world.repository.get_manifest(manifest).status == 404
            else:
                blob = world.layer if kind == "layer" else world.configs[number]
                assert world.repository.delete_blob(blob).status == 202
                assert world.repository.get_blob(blob).status == 404

    order = kinds.split()
    return lambda world: run(world, order), lambda world: run(world, order[::-1])


def tags_are(world: World, expected: list[str]) -> None:
    """The repository has exactly these tags."""
    assert tags_of(world.repository.tags()) == expected


def is_refused_digest(world: World) -> None:
    """A GET with a body, of a digest that is none: 400 with a code of the specification."""
    answer = world.repository.wire.request(
        "GET",
        world.repository.manifest_path("sha256:totallywrong"),
        body=b"blablabla",
        headers=[("Content-Type", OCI_MANIFEST)],
    )
    assert_error(answer, 400, "DIGEST_INVALID")
