# SPDX-License-Identifier: Apache-2.0
"""Manifests by tag or digest: pulled (end-3), pushed (end-7), deleted (end-9).

What was pushed is delivered byte for byte. `Accept` never converts: it only lets an old client that
knows no indexes have the image of its platform when it asks by tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.manifests import ManifestPush
from moorage.distribution.conditions import matches, precondition
from moorage.http.replies import BytesReply, EmptyReply, Reply
from moorage.http.request import BodyTooLarge
from moorage.spec.accept import parse_accept
from moorage.spec.digests import Digest
from moorage.spec.errors import (
    ManifestTooLarge,
    ManifestUnknown,
    RequestInvalid,
    TagInvalid,
    TooManyTags,
)
from moorage.spec.media_types import INDEX_TYPES
from moorage.spec.names import parse_reference, parse_tag
from moorage.spec.warnings import warning_header

if TYPE_CHECKING:
    from moorage.content.manifests import PushedManifest, StoredManifest
    from moorage.distribution.registry import Call, Registry
    from moorage.http.types import RawHeaders
    from moorage.spec.names import Reference, TagName


async def get_manifest(registry: Registry, call: Call) -> Reply:
    """The exact bytes that were pushed."""
    reference = _existing_reference(call.argument)

    manifest = await registry.content.manifests.get(call.repository, reference)
    manifest = await _acceptable(registry, call, reference, manifest)

    headers = _headers(manifest)
    if matches(call.request.header(b"if-none-match"), manifest.digest):
        return Reply(304, headers)
    return BytesReply(200, manifest.payload, manifest.media_type.encode(), headers)


async def head_manifest(registry: Registry, call: Call) -> Reply:
    """What `get_manifest` would say, without the bytes."""
    reference = _existing_reference(call.argument)

    manifest = await registry.content.manifests.head(call.repository, reference)
    if manifest.media_type in INDEX_TYPES and not isinstance(reference, Digest):
        manifest = await registry.content.manifests.get(call.repository, reference)
        manifest = await _acceptable(registry, call, reference, manifest)

    headers = _headers(manifest)
    if matches(call.request.header(b"if-none-match"), manifest.digest):
        return Reply(304, headers)
    described = [
        (b"content-type", manifest.media_type.encode()),
        (b"content-length", str(manifest.size).encode()),
    ]
    return Reply(200, [*described, *headers])


async def put_manifest(registry: Registry, call: Call) -> Reply:
    """Store a manifest under its digest, and set a tag, or several at once."""
    reference = parse_reference(call.argument)
    tags = _tags(registry, call, reference)
    payload = await _payload(registry, call)
    push = ManifestPush(
        payload,
        call.request.header(b"content-type"),
        _stated_digest(call, reference),
        tags,
        precondition(call.request) if tags else None,
    )

    pushed = await registry.content.manifests.push(call.repository, push, call.actor)

    return EmptyReply(201, _pushed_headers(registry, call, pushed, tags))


async def delete_manifest(registry: Registry, call: Call) -> Reply:
    """Remove a tag, or a manifest with every tag that points at it."""
    reference = _existing_reference(call.argument)

    content = registry.content
    if isinstance(reference, Digest):
        await content.manifests.delete(call.repository, reference, call.actor)
    else:
        await content.tags.delete(call.repository, reference, call.actor)

    return EmptyReply(202)


def _existing_reference(text: str) -> Reference:
    """What cannot be a tag is not there: the conformance suite insists on exactly 404."""
    try:
        return parse_reference(text)
    except TagInvalid as error:
        raise ManifestUnknown(error.message) from None


async def _acceptable(
    registry: Registry, call: Call, reference: Reference, manifest: StoredManifest
) -> StoredManifest:
    """The manifest itself, or for a client that knows only images, by tag, a child of the index.

    By digest a client gets exactly what it names, whatever it says it accepts.
    """
    if isinstance(reference, Digest):
        return manifest
    preference = parse_accept(call.request.header_values(b"accept"))
    if preference.only_schema1:
        raise ManifestUnknown(
            "The manifest is not of schema 1, which is all that this client accepts; upgrade it."
        )
    if manifest.media_type in INDEX_TYPES and preference.only_single_images:
        child = await registry.content.platforms.default_image(
            call.repository, manifest, preference.accepts
        )
        return child or manifest
    return manifest


def _tags(registry: Registry, call: Call, reference: Reference) -> list[TagName]:
    """The tags to set: the reference itself, or those of the query (end-7b)."""
    named = call.request.query.get("tag", [])
    if not isinstance(reference, Digest):
        if named:
            raise RequestInvalid("?tag= goes with a push by digest: push by it, or drop ?tag=.")
        return [reference]
    if len(named) > registry.bounds.tags_per_push:
        raise TooManyTags(
            f"{len(named)} tags are more than the {registry.bounds.tags_per_push} that one push "
            "may set; set the others with further pushes."
        )
    return [parse_tag(name) for name in dict.fromkeys(named)]


async def _payload(registry: Registry, call: Call) -> bytes:
    limit = registry.bounds.manifest_bytes
    try:
        return await call.request.body(limit)
    except BodyTooLarge:
        raise ManifestTooLarge(f"A manifest may have {limit} bytes; this one has more.") from None


def _stated_digest(call: Call, reference: Reference) -> Digest | None:
    """What the payload must hash to. `?digest=` on a push by tag is an older way to say it."""
    if isinstance(reference, Digest):
        return reference
    stated = call.request.query_value("digest")
    return Digest.parse(stated) if stated else None


def _headers(manifest: StoredManifest) -> RawHeaders:
    digest = manifest.digest.encode()
    return [(b"docker-content-digest", digest), (b"etag", b'"' + digest + b'"')]


def _pushed_headers(
    registry: Registry, call: Call, pushed: PushedManifest, tags: list[TagName]
) -> RawHeaders:
    location = f"{registry.base}/v2/{call.repository}/manifests/{pushed.digest}"
    headers = [
        (b"location", location.encode()),
        (b"docker-content-digest", pushed.digest.encode()),
    ]
    if pushed.manifest.subject is not None:
        headers.append((b"oci-subject", pushed.manifest.subject.digest.encode()))
    if tags:
        headers.append((b"oci-tag", ", ".join(tags).encode()))
    if pushed.absent:
        remark = (
            f"{len(pushed.absent)} of the index's {len(pushed.manifest.children)} manifests are "
            "not in this repository; until they are pushed, pulling for their platforms fails"
        )
        headers += [(b"warning", value.encode("ascii")) for value in warning_header([remark])]
    return headers
