# SPDX-License-Identifier: Apache-2.0
"""Descriptors: how one piece of content points at another.

Whether the target is there, and must be, is decided elsewhere. Invariant: the digest of a parsed
descriptor is valid, its size is not negative, and its inline data is what the digest says.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from moorage.spec import fields
from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid, ManifestInvalid, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moorage.spec.fields import JSONObject

_MEMBERS: Final = frozenset(
    {
        "mediaType",
        "digest",
        "size",
        "urls",
        "annotations",
        "artifactType",
        "platform",
        "data",
    }
)


@dataclass(frozen=True, slots=True)
class Platform:
    """What a child of an index runs on; unknown parts are empty."""

    architecture: str = ""
    os: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A typed, sized pointer to content."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str | None = None
    platform: Platform | None = None
    data: bytes | None = None


def parse_descriptor(value: object, where: str) -> Descriptor:
    """The descriptor that the JSON value is, or `ManifestInvalid`, `DigestInvalid`.

    Of the members that the image specification requires, only the digest cannot be done without:
    older Go programs leave out a media type that is empty and a size that is zero.
    """
    members = fields.as_object(value, where)
    fields.refuse_misspelled(members, _MEMBERS, where)
    digest = _digest(members, where)
    size = fields.integer(members, "size", where) or 0
    if size < 0:
        raise ManifestInvalid(f"{where}: size is {size}; it must not be negative.")
    return Descriptor(
        media_type=fields.text(members, "mediaType", where),
        digest=digest,
        size=size,
        urls=fields.texts(members, "urls", where),
        annotations=fields.text_map(members, "annotations", where),
        artifact_type=fields.text(members, "artifactType", where) or None,
        platform=_platform(members.get("platform"), f"{where}.platform"),
        data=_data(members, digest, size, where),
    )


def _digest(members: JSONObject, where: str) -> Digest:
    text = fields.text(members, "digest", where)
    if not text:
        raise ManifestInvalid(f"{where} has no digest; a descriptor needs one.")
    try:
        return Digest.parse(text)
    except DigestInvalid as error:
        raise DigestInvalid(f"{where}: {error.message}") from None


def _data(members: JSONObject, digest: Digest, size: int, where: str) -> bytes | None:
    text = fields.text(members, "data", where)
    if not text:
        return None
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise ManifestInvalid(f"{where}: data is not base64; encode it or leave it out.") from None
    # Inline data stands for the content (image specification), so it must be the content.
    if len(data) != size or Digest.of(data, digest.algorithm) != digest:
        raise ManifestInvalid(
            f"{where}: data is not the content of {quoted(digest)} and size {size}; "
            "correct it or leave it out."
        )
    return data


def _platform(value: object, where: str) -> Platform | None:
    if value is None:
        return None
    members = fields.as_object(value, where)
    return Platform(
        architecture=fields.text(members, "architecture", where),
        os=fields.text(members, "os", where),
        os_version=fields.text(members, "os.version", where),
        os_features=fields.texts(members, "os.features", where),
        variant=fields.text(members, "variant", where),
    )
