# SPDX-License-Identifier: Apache-2.0
"""Who has a SQLite catalogue open, and who of them will follow it to PostgreSQL.

A process that follows holds a shared lock on a file beside the catalogue for as long as it has it
open. SQLite itself holds one on the catalogue in every process that has it open. The kernel lists
both, so a registry that was not restarted with both databases is found before it would go on
serving what is old. Where there is no such list (it is Linux's), nobody is found.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCKS = Path("/proc/locks")
# Where SQLite's readers hold their lock: https://sqlite.org/src/file/src/os.h, SHARED_FIRST.
_SHARED_FIRST = "1073741826"
_FILE_MODE = 0o640


def _sign_of(database: Path) -> Path:
    return database.with_name(database.name + "-following")


class FollowingSign:
    """The sign that this process will follow, until it is taken down."""

    def __init__(self, database: Path) -> None:
        """Put it up.

        Raises:
            OSError: the folder of the database cannot be written.
        """
        sign = _sign_of(database)
        self._file = os.open(sign, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def take_down(self) -> None:
        """This process does not have the catalogue open any more."""
        os.close(self._file)


@contextmanager
def only_move(database: Path) -> Iterator[None]:
    """Keep other moves of the same file away: each would let go of changes that the other needs.

    Raises:
        BlockingIOError: another one is under way.
        OSError: the folder of the database cannot be written.
    """
    file = os.open(_sign_of(database), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        # A lock of another kind than those who follow hold on this file: they do not meet.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def strangers(database: Path) -> list[int]:
    """The other processes that have the database open and do not follow.

    The caller must have it open itself: its own lock tells how the kernel names the file.
    """
    try:
        locks = [line.split()[1:] for line in _LOCKS.read_text("ascii").splitlines()]
    except OSError:
        return []
    inode, own = str(database.stat().st_ino), str(os.getpid())
    # kind, ADVISORY, mode, process, device:inode, first byte, last byte; "->" marks who waits
    held = [(lock[0], lock[3], lock[4]) for lock in locks if lock[0] != "->" and len(lock) > 6]  # noqa: PLR2004
    readers = {
        (lock[3], lock[4])
        for lock in locks
        if lock[0] == "POSIX" and lock[4].endswith(f":{inode}") and lock[5] == _SHARED_FIRST
    }
    names = {name for process, name in readers if process == own}
    following = set[str]()
    with suppress(FileNotFoundError):
        sign = str(_sign_of(database).stat().st_ino)
        signs = {f"{name.rpartition(':')[0]}:{sign}" for name in names}
        following = {process for kind, process, name in held if kind == "FLOCK" and name in signs}
    others = {process for process, name in readers if name in names} - following - {own}
    return sorted(map(int, others))


def forget_signs(database: Path) -> None:
    """Nobody needs to follow any more."""
    _sign_of(database).unlink(missing_ok=True)
