# SPDX-License-Identifier: Apache-2.0
"""The `storage` and `database` sections: where bytes and metadata are kept, and their upkeep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moorage.settings.amounts import Duration
from moorage.settings.kinds import Boolean, Choice, FilePath
from moorage.settings.leaves import optional, optional_section, section, setting
from moorage.settings.sections.snapshot import Snapshot

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
DATABASE_NAME = "moorage.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """Blobs as files in one folder."""

    rootdirectory: Path = setting(
        FilePath(),
        Path("./moorage-data"),
        "The folder that holds everything: blobs, unfinished uploads and, unless "
        "`database.sqlite.path` says otherwise, the database. It is created when it is missing. "
        "A relative path counts from the folder the program was started in. A folder that was "
        "filled by distribution is not read in place: `moorage import` takes its content over.",
    )
    syncdirectories: Literal["auto", "always"] = setting(
        Choice(("auto", "always")),
        "auto",
        "When a new name in a folder is made durable with an fsync of that folder. `auto` does it "
        "where the file system needs it to keep a renamed file after a power cut, and leaves it "
        "out where the file system is known to order the rename after the data; `always` does it "
        "everywhere.",
        bounds="`auto` errs on the side of the fsync: an unknown file system is treated as one "
        "that needs it.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InMemory:
    """Blobs in the memory of the process; it has no settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Deleting over the API."""

    enabled: bool = setting(
        Boolean(),
        True,
        "Answer DELETE requests for tags, manifests and blobs. When false they are refused with "
        "405. **Differs from distribution**, where the default is false: there a deleted blob is "
        "gone at once, here nothing is destroyed in a request.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPurging:
    """What happens to uploads that nobody finishes."""

    enabled: bool = setting(
        Boolean(),
        True,
        "Remove uploads that were begun and then left alone.",
    )
    age: float = setting(
        Duration(1.0, 3650 * DAY),
        7 * DAY,
        "How long an upload must have been without a new byte before it is removed. Until then a "
        "client may go on where it stopped.",
        bounds="168h is distribution's default. distribution counts from the beginning of the "
        "upload; here every received byte begins the time again, so a slow upload is never cut.",
    )
    interval: float = setting(
        Duration(1.0, 365 * DAY),
        1 * DAY,
        "The time between two searches for such uploads.",
        bounds="24h is distribution's default.",
    )
    dryrun: bool = setting(
        Boolean(),
        False,
        "Only log what would be removed.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOnly:
    """Serving without accepting."""

    enabled: bool = setting(
        Boolean(),
        False,
        "Refuse every request that would change something; pulls go on.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Upkeep while the registry runs."""

    uploadpurging: UploadPurging = section(UploadPurging, "Uploads that nobody finishes.")
    readonly: ReadOnly = section(ReadOnly, "Serving without accepting anything new.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where the bytes are."""

    filesystem: Filesystem = section(
        Filesystem, "Blobs as files in one folder. This is what is used when nothing is said."
    )
    inmemory: InMemory | None = optional_section(
        InMemory,
        "Blobs and database in the memory of the process: `inmemory:` alone switches it on. "
        "Everything is lost when the process ends; meant for trying things out and for tests. The "
        "database is a file in a folder `moorage-*` for temporary files, which is removed when the "
        "registry stops and stays only where it was killed. It has no settings of its own, serves "
        "with one process, and excludes `filesystem`.",
        present_when_empty=True,
    )
    delete: Delete = section(Delete, "Deleting over the API.")
    maintenance: Maintenance = section(Maintenance, "Upkeep while the registry runs.")
    snapshot: Snapshot = section(
        Snapshot, "What is kept beside the blobs in case the database is lost."
    )

    @property
    def driver(self) -> Literal["filesystem", "inmemory"]:
        """Which of the stores is in use."""
        return "filesystem" if self.inmemory is None else "inmemory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sqlite:
    """The SQLite file."""

    path: Path | None = optional(
        FilePath(),
        "The database file. Unset, it is `moorage.db` in `storage.filesystem.rootdirectory`. It "
        "must be on a local disk: SQLite's write-ahead log does not work on network file systems.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where everything is that is not a blob."""

    sqlite: Sqlite = section(Sqlite, "The database is one SQLite file.")
