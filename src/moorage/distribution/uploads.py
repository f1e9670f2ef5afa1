# SPDX-License-Identifier: Apache-2.0
"""Pushing blobs: at once (end-4b), in a session (end-4a, 5, 6, 13, 14), or not at all (end-11).

The URL of a session never changes and holds no state: whatever older Location a client comes back
with is judged by where the upload is now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from moorage.content.uploads import Chunk, UploadConflict
from moorage.http.replies import EmptyReply, Reply
from moorage.spec.digests import Digest, parse_algorithm
from moorage.spec.errors import BlobUnknown, BlobUploadUnknown, DigestInvalid, NameInvalid
from moorage.spec.names import parse_repository
from moorage.spec.uploads import range_header

if TYPE_CHECKING:
    from moorage.content.uploads import Upload
    from moorage.distribution.registry import Call, Registry
    from moorage.http.types import RawHeaders
    from moorage.spec.errors import OCIError
    from moorage.spec.names import RepositoryName

_is_session = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


async def start_upload(registry: Registry, call: Call) -> Reply:
    """Open a session, take a whole blob, or mount one that is here already."""
    query = call.request.query
    if "mount" in query:
        digest = Digest.parse(query["mount"][0])
        if await _mount(registry, call, digest):
            return _created(registry, call, digest)
    elif "digest" in query:
        digest = Digest.parse(query["digest"][0])
        with registry.in_flight.of(call):
            await registry.content.uploads.push(call.repository, digest, _chunk(call), call.actor)
        return _created(registry, call, digest)
    algorithm = parse_algorithm(call.request.query_value("digest-algorithm") or "sha256")

    upload = await registry.content.uploads.start(call.repository, call.actor, algorithm)

    return EmptyReply(202, _session_headers(registry, upload))


async def append_chunk(registry: Registry, call: Call) -> Reply:
    """Take the next bytes of a blob."""
    session = _session(call)
    try:
        with registry.in_flight.of(call):
            upload = await registry.content.uploads.append(call.repository, session, _chunk(call))
    except UploadConflict as conflict:
        raise _out_of_order(registry, conflict) from None
    return EmptyReply(202, _session_headers(registry, upload))


async def finish_upload(registry: Registry, call: Call) -> Reply:
    """Take the last bytes, if any are left, and make the upload a blob."""
    session = _session(call)
    stated = call.request.query_value("digest")
    if stated is None:
        raise DigestInvalid("The closing PUT needs ?digest=; add the digest of the whole blob.")
    digest = Digest.parse(stated)
    try:
        with registry.in_flight.of(call):
            await registry.content.uploads.finish(
                call.repository, session, digest, _chunk(call), call.actor
            )
    except UploadConflict as conflict:
        raise _out_of_order(registry, conflict) from None
    except BlobUploadUnknown:
        # A client that never saw its 201 asks again; the blob itself is the best answer.
        await _refuse_unless_there(registry, call, digest)
    return _created(registry, call, digest)


async def get_upload(registry: Registry, call: Call) -> Reply:
    """How far the upload is."""
    upload = await registry.content.uploads.status(call.repository, _session(call))
    return Reply(204, _session_headers(registry, upload))


async def cancel_upload(registry: Registry, call: Call) -> Reply:
    """Drop the upload."""
    await registry.content.uploads.cancel(call.repository, _session(call))
    return Reply(204, [])


async def _mount(registry: Registry, call: Call, digest: Digest) -> bool:
    """Whether the blob could be linked from a repository that the principal may pull from.

    Nothing about the source is ever an error, so that nobody can find out what is there.
    """

    def may_read(repository: RepositoryName) -> bool:
        return registry.access.allows(call.principal, "pull", repository)

    source = None
    stated = call.request.query_value("from")
    if stated:
        try:
            source = parse_repository(stated)
        except NameInvalid:
            return False
    return await registry.content.blobs.mount(call.repository, digest, source, may_read, call.actor)


async def _refuse_unless_there(registry: Registry, call: Call, digest: Digest) -> None:
    try:
        await registry.content.blobs.find(call.repository, digest)
    except BlobUnknown:
        raise BlobUploadUnknown from None


def _session(call: Call) -> str:
    if _is_session(call.argument) is None:
        raise BlobUploadUnknown
    return call.argument


def _chunk(call: Call) -> Chunk:
    request = call.request
    return Chunk(request.pieces(), request.header(b"content-range"), request.content_length)


def _created(registry: Registry, call: Call, digest: Digest) -> Reply:
    location = f"{registry.base}/v2/{call.repository}/blobs/{digest}"
    return EmptyReply(
        201, [(b"location", location.encode()), (b"docker-content-digest", digest.encode())]
    )


def _session_headers(registry: Registry, upload: Upload) -> RawHeaders:
    location = f"{registry.base}/v2/{upload.repository}/blobs/uploads/{upload.session}"
    return [
        (b"location", location.encode()),
        (b"range", range_header(upload.received).encode()),
        (b"docker-upload-uuid", upload.session.encode()),
    ]


def _out_of_order(registry: Registry, conflict: UploadConflict) -> OCIError:
    """416 with the state of the session: clients resume from these very headers."""
    headers = _session_headers(registry, conflict.upload)
    return conflict.refusal.with_headers(
        *((name.decode(), value.decode()) for name, value in headers)
    )
