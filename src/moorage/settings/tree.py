# SPDX-License-Identifier: Apache-2.0
"""The root of the settings tree: which sections there are, and where the database is.

The sections themselves are in `moorage.settings.sections`. The invariant: a `Settings` value is
complete and valid; whoever holds one needs no further check and no default of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.settings.kinds import Choice
from moorage.settings.leaves import Branch, section, setting, shape_of
from moorage.settings.sections.auth import Auth
from moorage.settings.sections.database import DATABASE_NAME, Database
from moorage.settings.sections.http import HTTP
from moorage.settings.sections.limits import Catalog, Limits, Tags
from moorage.settings.sections.log import Log
from moorage.settings.sections.storage import Storage
from moorage.settings.sections.validation import Validation

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    version: str = setting(
        Choice(("0.1",)),
        "0.1",
        "The version of the file's format. distribution requires it and knows only this one; here "
        "it may be left out.",
    )
    log: Log = section(Log, "What is written about the registry's work. Logs go to standard error.")
    storage: Storage = section(
        Storage,
        "Where blobs are kept. `storage: filesystem` and `storage: inmemory` are short for a "
        "section without settings.",
    )
    database: Database = section(
        Database, "Where everything is kept that is not a blob: names, tags, manifests, events."
    )
    auth: Auth = section(
        Auth,
        "Who may enter. Without `htpasswd` everybody who reaches the registry may do everything.",
    )
    http: HTTP = section(HTTP, "Where the registry listens and how it presents itself.")
    limits: Limits = section(
        Limits, "What one client may ask for. Every bound has a reason and a precedent."
    )
    catalog: Catalog = section(Catalog, "The list of repositories.")
    tags: Tags = section(Tags, "The lists of tags.")
    validation: Validation = section(Validation, "What else is asked of a manifest that is pushed.")

    @property
    def sqlite_path(self) -> Path | None:
        """The database file; None where there is none, or a passing one beside blobs in memory."""
        if self.database.postgres is not None:
            return None
        if self.database.sqlite.path is not None:
            return self.database.sqlite.path
        if self.storage.inmemory is not None:
            return None
        return self.storage.filesystem.rootdirectory / DATABASE_NAME


def shape() -> Branch:
    """The shape of the whole tree."""
    return shape_of(Settings)
