# SPDX-License-Identifier: Apache-2.0
"""Manifests: what the bytes of a push (end-7a) say, and what they refer to.

The bytes themselves are kept elsewhere and never written again from what is parsed here. Whether
the references exist is checked where the content is. Invariant: one manifest is exactly one kind
of thing (image, index or artifact) for every reader, or it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from moorage.spec import fields, media_types, strict_json
from moorage.spec.descriptors import parse_descriptor
from moorage.spec.errors import ManifestInvalid, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moorage.spec.descriptors import Descriptor
    from moorage.spec.fields import JSONObject

ReferenceKind: TypeAlias = Literal["config", "layer", "child", "subject"]

SCHEMA_VERSION: Final = 2

_WHERE: Final = "The manifest"
_MEMBERS: Final = frozenset(
    {
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "manifests",
        "blobs",
        "subject",
        "annotations",
    }
)


@dataclass(frozen=True, slots=True)
class ManifestReference:
    """One thing that a manifest refers to, and whether a push must find it in the repository."""

    kind: ReferenceKind
    descriptor: Descriptor
    required: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as far as a registry needs to understand it."""

    media_type: str
    # As the referrers list shows it (end-12): its own, else for images the config's media type.
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    def references(self) -> tuple[ManifestReference, ...]:
        """All references in the manifest's order, repeated ones repeated.

        Children are required here; whether an index may be sparse is the caller's decision. A
        subject never is: a registry must take a manifest whose subject does not exist (end-7a).
        """
        found: list[ManifestReference] = []
        if self.config is not None:
            found.append(ManifestReference("config", self.config, required=True))
        found += [
            ManifestReference("layer", layer, required=_must_be_pushed(layer))
            for layer in self.layers
        ]
        found += [ManifestReference("child", child, required=True) for child in self.children]
        if self.subject is not None:
            found.append(ManifestReference("subject", self.subject, required=False))
        return tuple(found)


def parse_manifest(payload: bytes, content_type: str | None) -> Manifest:
    """The manifest that the body of a push is, or `ManifestInvalid`, `DigestInvalid`."""
    document = fields.as_object(strict_json.loads(payload), _WHERE)
    fields.refuse_misspelled(document, _MEMBERS, _WHERE)
    media_type = _media_type(document, content_type)
    _check_schema_version(document, media_type)
    subject = document.get("subject")
    artifact_type = fields.text(document, "artifactType", _WHERE) or None
    annotations = fields.text_map(document, "annotations", _WHERE)
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    if media_type in media_types.IMAGE_TYPES:
        _refuse_members(document, media_type, "manifests")
        config = parse_descriptor(document.get("config"), "config")
        layers = _descriptors(document, "layers")
        artifact_type = artifact_type or config.media_type or None
    elif media_type in media_types.INDEX_TYPES:
        _refuse_members(document, media_type, "config", "layers")
        children = _descriptors(document, "manifests")
    else:
        _refuse_members(document, media_type, "config", "layers", "manifests")
        layers = _descriptors(document, "blobs")
    return Manifest(
        media_type=media_type,
        artifact_type=artifact_type,
        config=config,
        layers=layers,
        children=children,
        subject=None if subject is None else parse_descriptor(subject, "subject"),
        annotations=annotations,
    )


def _media_type(document: JSONObject, content_type: str | None) -> str:
    """The type that the header, the body, or failing both the members name."""
    stated = fields.text(document, "mediaType", _WHERE)
    header = media_types.without_parameters(content_type or "")
    if header and stated and header != stated:
        raise ManifestInvalid(
            f"Content-Type is {quoted(header)} but the manifest's mediaType is {quoted(stated)}; "
            "send the same in both."
        )
    media_type = header or stated or _guessed(document)
    if media_type in media_types.SCHEMA1_TYPES:
        raise ManifestInvalid(
            "Image manifests of schema 1 are not supported; push the image again with a current "
            "client."
        )
    if media_type not in media_types.MANIFEST_TYPES:
        raise ManifestInvalid(
            f"{quoted(media_type)} is not a supported type of manifest; use "
            f"{media_types.OCI_MANIFEST} or {media_types.OCI_INDEX}."
        )
    # Only the OCI specification lets the member out; Docker would not read such a manifest.
    if not stated and media_type in media_types.DOCKER_TYPES:
        raise ManifestInvalid(f"The manifest needs mediaType {quoted(media_type)} in its body.")
    return media_type


def _guessed(document: JSONObject) -> str:
    """The OCI type of a manifest that nobody gave a type."""
    is_index = document.get("manifests") is not None
    is_image = document.get("config") is not None or document.get("layers") is not None
    if is_index and is_image:
        raise ManifestInvalid(
            "The manifest has both manifests and config or layers; it must be an index or an image."
        )
    if not is_index and not is_image:
        raise ManifestInvalid(
            "The manifest has no media type; send it as Content-Type and as mediaType."
        )
    return media_types.OCI_INDEX if is_index else media_types.OCI_MANIFEST


def _check_schema_version(document: JSONObject, media_type: str) -> None:
    version = fields.integer(document, "schemaVersion", _WHERE)
    # The artifact manifests of before OCI 1.1 had no such member.
    if version is None and media_type in media_types.ARTIFACT_TYPES:
        return
    if version != SCHEMA_VERSION:
        found = "missing" if version is None else str(version)
        raise ManifestInvalid(f"schemaVersion is {found}; it must be {SCHEMA_VERSION}.")


def _refuse_members(document: JSONObject, media_type: str, *names: str) -> None:
    """Refuse members of another kind of manifest, which other readers might go by."""
    for name in names:
        if document.get(name) is not None:
            raise ManifestInvalid(
                f"A manifest of type {media_type} must not have {name}; remove it or correct "
                "the type."
            )


def _descriptors(document: JSONObject, name: str) -> tuple[Descriptor, ...]:
    return tuple(
        parse_descriptor(value, f"{name}[{position}]")
        for position, value in enumerate(fields.array(document, name, _WHERE))
    )


def _must_be_pushed(layer: Descriptor) -> bool:
    """Clients leave out what they may not spread and what can be had elsewhere."""
    return not (media_types.is_non_distributable(layer.media_type) or any(layer.urls))
