# SPDX-License-Identifier: Apache-2.0
"""How the objects of a blob are named, and what a sidecar says. Pure: nothing is sent from here.

    blobs/<2 hex>/<uuid>.sha256-<hex>    a whole blob, whose name tells its digest
    blobs/<2 hex>/<uuid>                 bytes whose digest was not known when they were named
    <key of the first object>.digest     the digest of a blob that no name tells, and its objects

A key is the name below the root directory, so that a bucket can be reached by another prefix.
Invariant: whatever is not named like this was not written by us and is left alone.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from uuid import uuid4

from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid
from moorage.storage.protocol import Extent, StoredBlob

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = "blobs"
SIDECAR = ".digest"

_KEY = re.compile(
    rf"{FOLDER}/(?P<shard>[0-9a-f]{{2}})/(?P=shard)[0-9a-f]{{30}}"
    rf"(?:\.(?P<algorithm>sha256|sha512)-(?P<hex>[0-9a-f]+))?(?P<sidecar>{re.escape(SIDECAR)})?"
)


def new_key(digest: Digest | None = None) -> str:
    """A key that nobody has, telling the digest if it is known.

    Random, so that pushes spread over the store's partitions and no two share an object.
    """
    name = uuid4().hex
    told = f".{digest.algorithm}-{digest.encoded}" if digest is not None else ""
    return f"{FOLDER}/{name[:2]}/{name}{told}"


def told_digest(key: str) -> Digest | None:
    """The digest that the key tells, if it tells one."""
    match = _KEY.fullmatch(key)
    if match is None or match["hex"] is None or match["sidecar"] is not None:
        return None
    try:
        return Digest.parse(f"{match['algorithm']}:{match['hex']}")
    except DigestInvalid:
        return None


def is_ours(key: str) -> bool:
    """Whether the name is one of those above."""
    return _KEY.fullmatch(key) is not None


def sidecar_of(key: str) -> str:
    """Where the digest of the blob that begins with this object is written down."""
    return key + SIDECAR


def is_sidecar(key: str) -> bool:
    """Whether this is the name of a sidecar."""
    return key.endswith(SIDECAR)


def sidecar_content(blob: StoredBlob) -> bytes:
    """What the sidecar of the blob says."""
    extents = [[extent.key, extent.size] for extent in blob.extents]
    return json.dumps({"digest": blob.digest, "size": blob.size, "extents": extents}).encode()


def read_sidecar(content: bytes) -> StoredBlob | None:
    """The blob that a sidecar tells of; None when it is not one that we have written."""
    try:
        told = json.loads(content)
        digest = Digest.parse(told["digest"])
        extents = [Extent(str(key), int(size)) for key, size in told["extents"]]
        size = int(told["size"])
    except (ValueError, KeyError, TypeError, DigestInvalid):
        return None
    if not _adds_up(extents, size):
        return None
    pieces = tuple(extents) if len(extents) > 1 else ()
    return StoredBlob(extents[0].key, digest, size, pieces)


def _adds_up(extents: Sequence[Extent], size: int) -> bool:
    return bool(extents) and sum(extent.size for extent in extents) == size
