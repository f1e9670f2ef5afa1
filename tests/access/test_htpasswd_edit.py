# SPDX-License-Identifier: Apache-2.0
"""Changing an htpasswd file."""

from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING

import pytest

from moorage.access.htpasswd_edit import rewrite, with_user, without_user

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_user_comes_last() -> None:
    """Comments and other users stay where they are, and a missing line end is added."""
    assert with_user("# x\nbob:1", "alice", "2") == "# x\nbob:1\nalice:2\n"


def test_a_known_user_is_changed_in_place() -> None:
    """The entry keeps its place, and further ones of the same user go away."""
    text = "alice:1\nbob:1\n alice:3\n"

    assert with_user(text, "alice", "2") == "alice:2\nbob:1\n"


def test_users_are_not_taken_for_others() -> None:
    """A name that begins like another, or stands in a comment, is another name."""
    text = "alice2:1\n#alice:1\n"

    assert with_user(text, "alice", "2") == "alice2:1\n#alice:1\nalice:2\n"
    assert without_user(text, "alice") is None


def test_a_user_is_removed() -> None:
    """All entries of the user go, everything else stays."""
    assert without_user("a:1\nb:1\na:2\n", "a") == "b:1\n"


def test_new_files_are_private(tmp_path: Path) -> None:
    """A file that did not exist can be read by its owner only."""
    path = tmp_path / "htpasswd"

    rewrite(path, lambda text: text + "a:1\n")

    assert path.read_text() == "a:1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_mode_and_links_stay(tmp_path: Path) -> None:
    """The file keeps its mode, and a symbolic link to it stays a link."""
    path, link = tmp_path / "real", tmp_path / "link"
    path.write_text("a:1\n")
    path.chmod(0o640)
    link.symlink_to(path)

    rewrite(link, lambda text: text + "b:1\n")

    assert link.is_symlink()
    assert path.read_text() == "a:1\nb:1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_nothing_is_left_behind_on_failure(tmp_path: Path) -> None:
    """A change that fails leaves the file as it was and no temporary file."""
    path = tmp_path / "htpasswd"
    path.write_text("a:1\n")

    def fail(_: str) -> str:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        rewrite(path, fail)

    assert path.read_text() == "a:1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_editors_wait_for_each_other(tmp_path: Path) -> None:
    """Of many users added at the same time none is lost."""
    path = tmp_path / "htpasswd"
    threads = [
        threading.Thread(
            target=rewrite, args=(path, lambda text, n=n: with_user(text, f"u{n}", "1"))
        )
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(path.read_text().split()) == sorted(f"u{n}:1" for n in range(16))
    assert list(tmp_path.iterdir()) == [path]
