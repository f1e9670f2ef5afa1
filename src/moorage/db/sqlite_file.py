# SPDX-License-Identifier: Apache-2.0
"""The database as a file: made for its owner and group alone, and named when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER_MODE = 0o750
# SQLite gives the log and the index beside a database the mode of the database.
_FILE_MODE = 0o640

_RESTORE = "it is damaged, or no SQLite database: restore it from a backup"
_OWNER = "let the user that the registry runs as write it and its folder"
_ADVICE = {
    sqlite3.SQLITE_NOTADB: _RESTORE,
    sqlite3.SQLITE_CORRUPT: _RESTORE,
    sqlite3.SQLITE_READONLY: f"it cannot be written: {_OWNER}",
    sqlite3.SQLITE_CANTOPEN: f"it cannot be opened: {_OWNER}",
    sqlite3.SQLITE_PERM: f"it cannot be opened: {_OWNER}",
    sqlite3.SQLITE_FULL: "the disk is full: make room on it",
}


def make_database(path: Path) -> None:
    """Make an empty file, which is an empty database, where there is none.

    One that is there is not opened: closing it again would end the locks that SQLite holds on it
    in this process (https://sqlite.org/howtocorrupt.html, section 2.2).

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE))


def unusable(path: Path, error: Exception) -> Unavailable:
    """How to tell the operator that the database cannot be used."""
    cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
    return Unavailable(f"the database {path} cannot be used: {_reason(cause)}")


def _reason(error: BaseException) -> str:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return _ADVICE.get(code, str(error))
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        where = f" ({error.filename})" if error.filename else ""
        return f"{reason}{where}: {_OWNER}, or name another file as database.sqlite.path"
    return str(error)
