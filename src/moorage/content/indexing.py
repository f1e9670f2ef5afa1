# SPDX-License-Identifier: Apache-2.0
"""The rows of one manifest: itself, what it refers to, and how its subject's list names it.

A push writes them, and so does a rebuild: what is found by them later does not depend on which.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moorage.spec.referrers import referrer_descriptor

if TYPE_CHECKING:
    from moorage.content.records import RecordName
    from moorage.db.protocol import Transaction
    from moorage.spec.digests import Digest
    from moorage.spec.manifests import Manifest

_INSERT = """
    INSERT INTO manifests
        (repository_id, digest, media_type, artifact_type, subject, referrer, size,
         pushed_by, pushed_at, payload)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    RETURNING id
"""
_INSERT_REFERENCE = """
    INSERT INTO manifest_references (manifest_id, kind, digest) VALUES ($1, $2, $3)
    ON CONFLICT (manifest_id, kind, digest) DO NOTHING
"""


async def index_manifest(
    transaction: Transaction,
    repository_id: int,
    name: RecordName,
    manifest: Manifest,
    pushed_by: str,
    payload: bytes,
) -> None:
    """Write the rows of a manifest that its repository does not have."""
    subject = manifest.subject
    row = await transaction.fetch_one(
        _INSERT,
        repository_id,
        name.digest,
        manifest.media_type,
        manifest.artifact_type,
        subject.digest if subject else None,
        _referrer(manifest, name.digest, len(payload)) if subject else None,
        len(payload),
        pushed_by,
        name.pushed_at,
        payload,
    )
    assert row is not None  # RETURNING gives the row that was inserted
    references = [
        (row[0], reference.kind, reference.descriptor.digest) for reference in manifest.references()
    ]
    await transaction.execute_many(_INSERT_REFERENCE, references)


def _referrer(manifest: Manifest, digest: Digest, size: int) -> str:
    """The entry that stands for this manifest in its subject's list of referrers (end-12)."""
    return json.dumps(
        referrer_descriptor(
            media_type=manifest.media_type,
            digest=digest,
            size=size,
            artifact_type=manifest.artifact_type,
            annotations=manifest.annotations,
        ),
        separators=(",", ":"),
    )
