# SPDX-License-Identifier: Apache-2.0
"""A generated catalogue of any size: the rows that so many pushes would have left behind.

Everything is a function of its number, so that the benchmark knows what is there without asking.
Blobs have no bytes: nothing here is about the store.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.content import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, digest_of
from moorage.spec.referrers import referrer_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = tuple[Any, ...]

# A Tuesday in 2026, in microseconds; every row is as old.
AT = 1_780_000_000_000_000
SIGNATURE = "application/vnd.example.signature.v1+json"
LAYERS_IN_REPOSITORY = 3
REPOSITORIES_IN_NAMESPACE = 100
LAYER_BYTES = 20_000_000
CONFIG_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is; each repository has as much as any other."""

    repositories: int = 100_000
    manifests_each: int = 20
    tags_each: int = 10
    referrers_each: int = 2

    @property
    def images_each(self) -> int:
        """How many of a repository's manifests are images; the first of them have the tags."""
        return self.manifests_each - self.referrers_each

    @property
    def manifests(self) -> int:
        """All manifests."""
        return self.repositories * self.manifests_each

    @property
    def tags(self) -> int:
        """All tags."""
        return self.repositories * self.tags_each


@dataclass(frozen=True, slots=True)
class Made:
    """A manifest as it was pushed, and what it refers to besides its subject."""

    payload: bytes
    config: str
    layers: tuple[str, ...]
    subject: str | None

    @property
    def digest(self) -> str:
        """Its digest."""
        return digest_of(self.payload)


def repository_name(repository: int) -> str:
    """A team's application."""
    return f"team-{repository // REPOSITORIES_IN_NAMESPACE:04d}/application-{repository:06d}"


def tag_name(tag: int) -> str:
    """A version."""
    return f"1.{tag}.0"


def _digest(what: str) -> str:
    return "sha256:" + hashlib.sha256(what.encode()).hexdigest()


def layer_digest(repository: int, layer: int) -> str:
    """A layer that all images of the repository share."""
    return _digest(f"layer {repository} {layer}")


def manifest(scale: Scale, repository: int, number: int, *, note: str = "") -> Made:
    """A manifest of the repository: an image, or behind the images a signature of one.

    A `note` makes another manifest of the same blobs.
    """
    config = _digest(f"config {repository} {number}")
    layers = tuple(layer_digest(repository, layer) for layer in range(LAYERS_IN_REPOSITORY))
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": config, "size": CONFIG_BYTES},
        "layers": [
            {"mediaType": LAYER_TYPE, "digest": layer, "size": LAYER_BYTES} for layer in layers
        ],
        "annotations": {"org.opencontainers.image.version": f"{repository}.{number}{note}"},
    }
    subject = None
    signed = number - scale.images_each
    if signed >= 0:
        image = manifest(scale, repository, signed)
        subject = image.digest
        document |= {
            "artifactType": SIGNATURE,
            "subject": {
                "mediaType": MANIFEST_TYPE,
                "digest": subject,
                "size": len(image.payload),
            },
        }
    return Made(json.dumps(document).encode(), config, layers, subject)


# Rows, table by table; the columns are named beside them.

TABLES = {
    "repositories": ("id", "name", "created_at"),
    "blobs": ("digest", "size", "created_at", "touched_at"),
    "extents": ("digest", "ordinal", "key", "size"),
    "repository_blobs": ("repository_id", "digest", "linked_at"),
    "manifests": (
        "id", "repository_id", "digest", "media_type", "artifact_type", "subject", "referrer",
        "size", "pushed_by", "pushed_at", "payload",
    ),
    "manifest_references": ("manifest_id", "kind", "digest"),
    "tags": ("repository_id", "name", "digest", "started_at", "actor"),
}  # fmt: skip


def rows(scale: Scale, first: int, last: int) -> dict[str, list[Row]]:
    """The rows of the repositories from `first` to before `last`."""
    made: dict[str, list[Row]] = {table: [] for table in TABLES}
    for repository in range(first, last):
        made["repositories"].append((repository + 1, repository_name(repository), AT))
        for digest, size in _blobs(scale, repository):
            made["blobs"].append((digest, size, AT, AT))
            made["extents"].append((digest, 0, f"blobs/00/{digest[7:]}", size))
            made["repository_blobs"].append((repository + 1, digest, AT))
        for number in range(scale.manifests_each):
            _add_manifest(made, scale, repository, number)
    return made


def _blobs(scale: Scale, repository: int) -> Iterator[tuple[str, int]]:
    for layer in range(LAYERS_IN_REPOSITORY):
        yield layer_digest(repository, layer), LAYER_BYTES
    for number in range(scale.manifests_each):
        yield _digest(f"config {repository} {number}"), CONFIG_BYTES


def _add_manifest(made: dict[str, list[Row]], scale: Scale, repository: int, number: int) -> None:
    image = manifest(scale, repository, number)
    identity = repository * scale.manifests_each + number + 1
    artifact = SIGNATURE if image.subject else CONFIG_TYPE
    referrer = None
    if image.subject:
        entry = referrer_descriptor(
            media_type=MANIFEST_TYPE,
            digest=image.digest,
            size=len(image.payload),
            artifact_type=artifact,
            annotations={},
        )
        referrer = json.dumps(entry)
        made["manifest_references"].append((identity, "subject", image.subject))
    made["manifests"].append(
        (identity, repository + 1, image.digest, MANIFEST_TYPE, artifact, image.subject, referrer,
         len(image.payload), "ci", AT, image.payload)
    )  # fmt: skip
    made["manifest_references"].append((identity, "config", image.config))
    made["manifest_references"].extend((identity, "layer", layer) for layer in image.layers)
    if number < scale.tags_each:
        made["tags"].append((repository + 1, tag_name(number), image.digest, AT, "ci"))
