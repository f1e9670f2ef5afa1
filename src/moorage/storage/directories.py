# SPDX-License-Identifier: Apache-2.0
"""The registry's folders: how they are made, and what the file system promises about their names.

Invariant: what is made here is not readable by other users of the machine; what the operator has
made keeps its mode.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from moorage.spec.errors import Unavailable

# As git and others do for what is nobody else's business; a backup may run in the owner's group.
FOLDER_MODE = 0o750

# On these, fsync of a file that has just been renamed also makes the new name durable: the inode's
# change time and both folders belong to the one journal transaction that the fsync commits.
RENAME_IS_SYNCED = frozenset({"ext3", "ext4", "xfs", "btrfs", "tmpfs"})


_OWNER = "let the user that the registry runs as write there"
_ADVICE = {
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EROFS: "mount the file system for writing",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
}


def make_root(root: Path) -> None:
    """Make the registry's data folder where there is none.

    Raises:
        Unavailable: it cannot be made.
    """
    try:
        root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(root, error) from error


def unusable(root: Path, error: OSError) -> Unavailable:
    """How to tell the operator that the data folder cannot be used."""
    reason = error.strerror or str(error)
    if isinstance(error, FileExistsError | NotADirectoryError):
        reason = "it, or what is above it, is a file"
    advice = ["name another folder as storage.filesystem.rootdirectory"]
    if error.errno in _ADVICE:
        advice.insert(0, _ADVICE[error.errno])
    return Unavailable(f"the data folder {root} cannot be used: {reason}: {', or '.join(advice)}")


def make_shard(shard: Path) -> None:
    """Make the folder of some blobs of one algorithm, and the algorithm's own."""
    shard.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    shard.mkdir(mode=FOLDER_MODE, exist_ok=True)


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
