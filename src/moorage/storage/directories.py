# SPDX-License-Identifier: Apache-2.0
"""What the file system below promises about names, and how to insist where it does not."""

from __future__ import annotations

import os
from pathlib import Path

# On these, fsync of a file that has just been renamed also makes the new name durable: the inode's
# change time and both folders belong to the one journal transaction that the fsync commits.
RENAME_IS_SYNCED = frozenset({"ext3", "ext4", "xfs", "btrfs", "tmpfs"})


def filesystem_of(folder: Path) -> str:
    """The type of the file system that holds `folder`, as the kernel names it; "" if unknown."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return ""


def sync_directory(folder: Path) -> None:
    """Make the names in a folder durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
