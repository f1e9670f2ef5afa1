# SPDX-License-Identifier: Apache-2.0
"""The section `storage.snapshot`: what is kept beside the blobs in case the database is lost."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.settings.amounts import Duration, Integer
from moorage.settings.kinds import Boolean
from moorage.settings.leaves import setting

_HOUR = 3600.0
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Signed snapshots of repositories and tags."""

    enabled: bool = setting(
        Boolean(),
        True,
        "Write a snapshot of what neither a blob nor a manifest tells (repositories, tags and "
        "their history, which repository has which blob) beside the blobs now and then. After the "
        "loss of the database `moorage rebuild` needs one to bring back tags; manifests and blobs "
        "come back without. It is signed, so that nobody who can only write to the store can move "
        "tags.",
    )
    interval: float = setting(
        Duration(1.0, 365 * _DAY),
        1 * _HOUR,
        "The least time between two snapshots. A tag that was pushed after the last one is lost "
        "with the database; its manifest is not. When nothing has changed, none is taken.",
        bounds="A snapshot reads all tags and links: some seconds for a million of them.",
    )
    keep: int = setting(
        Integer(1, 1000),
        24,
        "How many snapshots are kept; older ones are deleted. `moorage rebuild` uses the newest "
        "that is whole.",
        bounds="24 is a day of them at the usual interval.",
    )
