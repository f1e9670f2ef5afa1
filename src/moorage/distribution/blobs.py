# SPDX-License-Identifier: Apache-2.0
"""Blobs: whole or in ranges, or only whether they are there (end-2); unlinked again (end-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.distribution.conditions import matches
from moorage.http.replies import ContentReply, EmptyReply, MultipartReply, Reply
from moorage.spec.digests import Digest
from moorage.spec.ranges import parse_range

if TYPE_CHECKING:
    from moorage.content.blobs import Blob
    from moorage.distribution.registry import Call, Registry
    from moorage.http.types import RawHeaders

_OCTETS = (b"content-type", b"application/octet-stream")
_RANGES = (b"accept-ranges", b"bytes")
# Content never changes under its digest. "private": a cache between must not share what it may not.
# The URL that a redirect names is for this client, and for a while.
_TEMPORARY = ((b"cache-control", b"no-store"),)
_FOR_EVER = (b"cache-control", b"private, max-age=31536000, immutable")


async def get_blob(registry: Registry, call: Call) -> Reply:
    """The bytes."""
    digest = Digest.parse(call.argument)
    request = call.request

    blob = await registry.content.blobs.find(call.repository, digest)

    headers = _headers(blob)
    if matches(request.header(b"if-none-match"), digest):
        return Reply(304, headers)
    wanted = request.header(b"range")
    if wanted is not None and not _still_the_same(request.header(b"if-range"), digest):
        wanted = None
    ranges = parse_range(wanted, blob.size) if wanted is not None else None
    if registry.redirects.suit(call.client):
        url = await registry.content.blobs.url(blob)
        if url is not None:
            return EmptyReply(307, [(b"location", url.encode()), *_TEMPORARY])
    if ranges is None or len(ranges) > registry.bounds.ranges_per_request:
        content = await registry.content.blobs.open(blob, 0, blob.size)
        return ContentReply(200, [*headers, _OCTETS], content, 0, blob.size)
    content = await registry.content.blobs.open(blob, ranges[0].start, ranges[0].stop)
    if len(ranges) > 1:
        parts = [(part.start, part.stop) for part in ranges]
        return MultipartReply(headers, content, parts, blob.size)
    (part,) = ranges
    described = (b"content-range", part.content_range(blob.size).encode())
    return ContentReply(206, [*headers, _OCTETS, described], content, part.start, part.stop)


async def head_blob(registry: Registry, call: Call) -> Reply:
    """Whether the blob is there and how long it is."""
    digest = Digest.parse(call.argument)

    blob = await registry.content.blobs.find(call.repository, digest)

    headers = _headers(blob)
    if matches(call.request.header(b"if-none-match"), digest):
        return Reply(304, headers)
    return Reply(200, [*headers, _OCTETS, (b"content-length", str(blob.size).encode())])


async def delete_blob(registry: Registry, call: Call) -> Reply:
    """Unlink the blob from this repository."""
    digest = Digest.parse(call.argument)

    await registry.content.blobs.unlink(call.repository, digest, call.actor)

    return EmptyReply(202)


def _headers(blob: Blob) -> RawHeaders:
    digest = blob.digest.encode()
    return [
        (b"docker-content-digest", digest),
        (b"etag", b'"' + digest + b'"'),
        _RANGES,
        _FOR_EVER,
    ]


def _still_the_same(if_range: str | None, digest: Digest) -> bool:
    """Whether `If-Range` lets a range be served: only our own strong validator does."""
    return if_range is None or if_range.strip() == f'"{digest}"'
