# SPDX-License-Identifier: Apache-2.0
"""The services of the content, put together over one database and one store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.content.blobs import Blobs
from moorage.content.manifests import Manifests
from moorage.content.platforms import Platforms
from moorage.content.referrers import Referrers
from moorage.content.repositories import Repositories
from moorage.content.tags import Tags
from moorage.content.uploads import Uploads

if TYPE_CHECKING:
    from moorage.content.changes import ChangeLog
    from moorage.content.rules import ManifestRules
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


def build_content(
    database: Database,
    store: AppendableStore,
    changes: ChangeLog,
    *,
    boot: str,
    rules: ManifestRules,
) -> Content:
    """Connect the services; see `Uploads` and `Manifests` for what the options mean."""
    repositories = Repositories(database, changes)
    blobs = Blobs(database, store, repositories, changes)
    tags = Tags(database, changes)
    manifests = Manifests(database, repositories, tags, changes, rules)
    return Content(
        repositories=repositories,
        blobs=blobs,
        uploads=Uploads(database, store, blobs, boot),
        manifests=manifests,
        platforms=Platforms(manifests),
        tags=tags,
        referrers=Referrers(database, manifests),
    )
