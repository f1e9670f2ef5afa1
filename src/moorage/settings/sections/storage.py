# SPDX-License-Identifier: Apache-2.0
"""The `storage` section: where bytes are kept, and their upkeep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from moorage.settings.amounts import Duration
from moorage.settings.kinds import Boolean, Choice, FilePath
from moorage.settings.leaves import optional_section, section, setting
from moorage.settings.sections.local_cache import LocalCache
from moorage.settings.sections.object_stores import GCS, S3, Azure, Redirect
from moorage.settings.sections.previous_store import PreviousStore
from moorage.settings.sections.snapshot import Snapshot

MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR


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
    s3: S3 | None = optional_section(
        S3,
        "Blobs as objects in S3 and everything that speaks it; `s3aws` is another name for this "
        "section. Needs the package `moorage[objects]`. docs/object-stores.md has examples.",
        present_when_empty=True,
    )
    gcs: GCS | None = optional_section(
        GCS,
        "Blobs as objects in Google Cloud Storage. Needs the package `moorage[objects]`.",
        present_when_empty=True,
    )
    azure: Azure | None = optional_section(
        Azure,
        "Blobs as objects in Azure Blob Storage. Needs the package `moorage[objects]`.",
        present_when_empty=True,
    )
    redirect: Redirect = section(
        Redirect, "Sending clients to the object store for the bytes of blobs."
    )
    localcache: LocalCache | None = optional_section(
        LocalCache,
        "Copies of what was read last from an object store, in a folder on a local disk. Blobs are "
        "then sent by the registry itself, and clients are not sent to the store.",
        present_when_empty=True,
    )
    previous: PreviousStore = section(
        PreviousStore,
        "Where blobs are being moved away from: they are read from there until `moorage migrate "
        "storage` has moved them; see [moving storage](moving-storage.md).",
    )
    delete: Delete = section(Delete, "Deleting over the API.")
    maintenance: Maintenance = section(Maintenance, "Upkeep while the registry runs.")
    snapshot: Snapshot = section(
        Snapshot, "What is kept beside the blobs in case the database is lost."
    )

    @property
    def driver(self) -> Literal["filesystem", "inmemory", "s3", "gcs", "azure"]:
        """Which of the stores is in use."""
        if self.s3 is not None:
            return "s3"
        if self.gcs is not None:
            return "gcs"
        if self.azure is not None:
            return "azure"
        return "filesystem" if self.inmemory is None else "inmemory"
