# SPDX-License-Identifier: Apache-2.0
"""Changing an htpasswd file: one user set or removed, everything else left as it is.

The texts are changed by pure functions, the file by `rewrite`. Invariant: whoever reads the file
meanwhile sees the old or the new one, never a part, and never with wider permissions than before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Who may read a new file can try passwords at leisure.
NEW_FILE_MODE = 0o600


def with_user(text: str, user: str, hashed: str) -> str:
    """The text with the user's entry: in the place of the old one, else at the end."""
    entry = f"{user}:{hashed}\n"
    lines: list[str] = []
    placed = False
    for line in text.splitlines(keepends=True):
        if not _belongs_to(line, user):
            lines.append(line)
        elif not placed:
            lines.append(entry)
            placed = True
    if not placed:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(entry)
    return "".join(lines)


def without_user(text: str, user: str) -> str | None:
    """The text without the user's entries, or None when there is none."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not _belongs_to(line, user)]
    return "".join(kept) if len(kept) < len(lines) else None


def _belongs_to(line: str, user: str) -> bool:
    name, colon, _ = line.strip().partition(":")
    return bool(colon) and name == user


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Replace the file's text by `change(text)`; a file that does not exist yet counts as empty.

    Mode and, where allowed, owner stay; a symbolic link stays one. Two editors wait for each other.
    """
    path = path.resolve()
    with _only_editor(path.parent):
        try:
            text = path.read_text("utf-8")
            status: os.stat_result | None = path.stat()
        except FileNotFoundError:
            text, status = "", None
        changed = change(text)
        if status is None or changed != text:
            _replace(path, changed.encode(), status)


@contextlib.contextmanager
def _only_editor(folder: Path) -> Iterator[None]:
    # The file itself is replaced, so that a lock on it would be a lock on the past.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes, status: os.stat_result | None) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            if status is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, status.st_mode & 0o7777 if status else NEW_FILE_MODE)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 - the temporary name is text
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108 - as above
        raise
