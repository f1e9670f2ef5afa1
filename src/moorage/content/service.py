# SPDX-License-Identifier: Apache-2.0
"""The services of the content, put together over one database and one store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.content.blobs import Blobs
from moorage.content.extent_uploads import ExtentUploads
from moorage.content.file_uploads import FileUploads
from moorage.content.garbage import Garbage
from moorage.content.joining import Joining
from moorage.content.manifests import Manifests
from moorage.content.platforms import Platforms
from moorage.content.records import ManifestRecords
from moorage.content.referrers import Referrers
from moorage.content.repositories import Repositories
from moorage.content.tags import Tags
from moorage.storage.protocol import ExtentStore, RecordKeeper

if TYPE_CHECKING:
    from moorage.content.changes import ChangeLog
    from moorage.content.rules import ManifestRules
    from moorage.content.uploads import Uploads
    from moorage.db.protocol import Database
    from moorage.storage.protocol import AppendableStore


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that can be done with what the registry holds."""

    repositories: Repositories
    blobs: Blobs
    uploads: Uploads
    manifests: Manifests
    platforms: Platforms
    tags: Tags
    referrers: Referrers
    garbage: Garbage
    joining: Joining


def build_content(
    database: Database,
    store: AppendableStore | ExtentStore,
    changes: ChangeLog,
    *,
    boot: str,
    rules: ManifestRules,
) -> Content:
    """Connect the services; see `Uploads` and `Manifests` for what the options mean."""
    repositories = Repositories(database, changes)
    blobs = Blobs(database, store, repositories, changes)
    tags = Tags(database, changes)
    uploads: Uploads
    if isinstance(store, ExtentStore):
        uploads = ExtentUploads(database, store, blobs)
    else:
        uploads = FileUploads(database, store, blobs, boot)
    records = ManifestRecords(store) if isinstance(store, RecordKeeper) else None
    manifests = Manifests(database, repositories, tags, changes, rules, records)
    return Content(
        repositories=repositories,
        blobs=blobs,
        uploads=uploads,
        manifests=manifests,
        platforms=Platforms(manifests),
        tags=tags,
        referrers=Referrers(database, manifests),
        garbage=Garbage(database, store),
        joining=Joining(database, store),
    )
