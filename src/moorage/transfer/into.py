# SPDX-License-Identifier: Apache-2.0
"""Where an import goes: the registry, on whose behalf, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moorage.content.changes import Actor
    from moorage.content.service import Content
    from moorage.db.protocol import Database
    from moorage.observe.progress import Progress
    from moorage.storage.protocol import BlobStore
    from moorage.transfer.report import ImportReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportInto:
    """An open registry; a dry run checks everything and changes nothing."""

    database: Database
    store: BlobStore
    content: Content
    actor: Actor
    progress: Progress
    report: ImportReport
    dry_run: bool = False
