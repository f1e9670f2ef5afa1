# SPDX-License-Identifier: Apache-2.0
"""The section `storage.previous`: where blobs are being moved away from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moorage.settings.kinds import FilePath
from moorage.settings.leaves import optional_section, required
from moorage.settings.sections.object_stores import GCS, S3, Azure

if TYPE_CHECKING:
    from pathlib import Path

StoreKind = Literal["filesystem", "s3", "gcs", "azure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousFilesystem:
    """The folder before the move."""

    rootdirectory: Path = required(
        FilePath(), "What `storage.filesystem.rootdirectory` was. It must exist."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousStore:
    """What `moorage migrate storage` moves from; one store or none."""

    filesystem: PreviousFilesystem | None = optional_section(
        PreviousFilesystem, "Blobs in a folder.", present_when_empty=True
    )
    s3: S3 | None = optional_section(
        S3, "Blobs in a bucket; the keys are those of `storage.s3`.", present_when_empty=True
    )
    gcs: GCS | None = optional_section(
        GCS, "Blobs in a bucket; the keys are those of `storage.gcs`.", present_when_empty=True
    )
    azure: Azure | None = optional_section(
        Azure,
        "Blobs in a container; the keys are those of `storage.azure`.",
        present_when_empty=True,
    )

    @property
    def kinds(self) -> tuple[StoreKind, ...]:
        """Every store that is named here, although it should be one at most."""
        names: tuple[StoreKind, ...] = ("filesystem", "s3", "gcs", "azure")
        stores = (self.filesystem, self.s3, self.gcs, self.azure)
        return tuple(name for name, store in zip(names, stores, strict=True) if store is not None)

    @property
    def driver(self) -> StoreKind | None:
        """Which of the stores blobs are moved away from; None when none are."""
        return self.kinds[0] if self.kinds else None
