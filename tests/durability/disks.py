# SPDX-License-Identifier: Apache-2.0
"""Small disks that can be filled to the last byte: tmpfs mounts, for which a test must be root."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.tools import need, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SmallDisk:
    """A mounted folder with little room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @property
    def free(self) -> int:
        """How many bytes are left."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_bsize

    def fill(self) -> None:
        """Take all that is left."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with _until_full():
                    while True:
                        file.write(b"\xff" * size)
        assert self.free == 0

    def relieve(self) -> None:
        """Give it back."""
        self._filler.unlink()


@contextmanager
def _until_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a disk of this size on a new folder; skip the test where that is not allowed."""
    need_root()
    mount, umount = need("mount", "mount"), need("umount", "mount")
    folder.mkdir(parents=True)
    command = [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            (folder / "filler").unlink()
        subprocess.run([umount, "--lazy", str(folder)], check=True)
