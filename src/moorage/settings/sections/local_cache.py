# SPDX-License-Identifier: Apache-2.0
"""The section `storage.localcache`: copies of objects on a disk near the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.settings.amounts import Size
from moorage.settings.kinds import FilePath
from moorage.settings.leaves import required, setting

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30
PIB = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCache:
    """A folder with what was read last from the object store."""

    rootdirectory: Path = required(
        FilePath(),
        "The folder, on a local disk. All processes of one machine may share it; different "
        "registries should not. It is emptied when the machine has been restarted, and may be "
        "emptied by anybody at any time.",
    )
    size: int = setting(
        Size(16 * MIB, PIB),
        10 * GIB,
        "How many bytes it may hold, what is being fetched included. What was not used for longest "
        "goes first. An object that is larger than this is never kept.",
        bounds="10 GiB hold the images that a cluster starts every day; nginx's proxy_cache has no "
        "bound unless one is set, which fills disks.",
    )
