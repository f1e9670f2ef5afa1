# SPDX-License-Identifier: Apache-2.0
"""The section `database.previous`: where the catalogue is being moved away from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.settings.kinds import FilePath
from moorage.settings.leaves import optional_section, required

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousSqlite:
    """The SQLite file before PostgreSQL."""

    path: Path = required(
        FilePath(),
        "The database file that the registry has used so far: what `database.sqlite.path` was, or "
        "`moorage.db` in `storage.filesystem.rootdirectory`.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousDatabase:
    """What `moorage migrate database` moves from."""

    sqlite: PreviousSqlite | None = optional_section(
        PreviousSqlite,
        "The SQLite file that is moved to `database.postgres`. It is the truth until `moorage "
        "migrate database` has moved everything; then every process of the registry follows to "
        "PostgreSQL at once, and this section can be removed.",
        present_when_empty=False,
    )
