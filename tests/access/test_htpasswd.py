# SPDX-License-Identifier: Apache-2.0
"""The htpasswd file: what it lets in and when it is read again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from moorage.access.htpasswd import MAX_FILE_BYTES, HtpasswdError, parse_htpasswd
from moorage.access.passwords import hash_bcrypt
from tests.access.people import Clock, entry, open_file

if TYPE_CHECKING:
    from pathlib import Path

HASH = hash_bcrypt("secret", cost=4)
OTHER = hash_bcrypt("other", cost=5)


def test_comments_and_blank_lines_are_skipped() -> None:
    """A file as people write it gives its users, with Windows line ends too."""
    users, refused = parse_htpasswd(f"# people\r\n\r\n  alice:{HASH}  \r\nbob:{OTHER}")

    assert sorted(users.hashes) == ["alice", "bob"]
    assert refused == ()


def test_refused_lines_are_named() -> None:
    """A line with another scheme lets nobody in, and is reported with its number and reason."""
    users, refused = parse_htpasswd(f"alice:{HASH}\n\nmallory:$apr1$x$y\n:{HASH}\nx\x1b:{HASH}\n")

    assert list(users.hashes) == ["alice"]
    assert [(line.line, line.user) for line in refused] == [(3, "mallory"), (4, ""), (5, "x\x1b")]
    assert "MD5" in refused[0].reason


def test_the_last_entry_of_a_user_counts() -> None:
    """Also when it is refused: an old password must not come back to life."""
    users, refused = parse_htpasswd(f"a:{HASH}\nb:{HASH}\na:{OTHER}\nb:plain\n")

    assert {user: stored.text for user, stored in users.hashes.items()} == {"a": OTHER}
    assert [line.line for line in refused] == [3, 4]


def test_a_line_without_colon_breaks_the_file() -> None:
    """What is no htpasswd file is refused as a whole, naming the line."""
    with pytest.raises(HtpasswdError, match="line 2"):
        parse_htpasswd(f"alice:{HASH}\nhello\n")


def test_decoys_have_the_costs_of_the_users() -> None:
    """With several costs in the file, missing users are spread over them like the real ones."""
    users, _ = parse_htpasswd(f"a:{HASH}\nb:{OTHER}\n")

    assert {users.decoy(draw).text[:7] for draw in range(8)} == {"$2b$04$", "$2b$05$"}
    assert users.decoy(5) is users.decoy(5)


def test_many_users_have_a_bounded_number_of_decoys() -> None:
    """A large file costs no decoy for each of its users."""
    users, _ = parse_htpasswd("".join(f"u{n}:{HASH}\n" for n in range(1000)))

    assert len(users.decoys) <= 128


@pytest.mark.parametrize("content", [b"alice\n", b"alice:\xff\xfe\n"])
def test_a_broken_file_is_an_error_at_the_start(tmp_path: Path, content: bytes) -> None:
    """A registry that nobody could enter does not start; the message tells the way out."""
    path = tmp_path / "htpasswd"
    path.write_bytes(content)

    with pytest.raises(HtpasswdError, match=r"moorage htpasswd --file .*htpasswd USER"):
        open_file(path, Clock())


def test_missing_folders_and_huge_files_are_errors_at_the_start(tmp_path: Path) -> None:
    """Whatever is not a readable regular file of sane size is refused with its reason."""
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)

    for path, reason in [
        (tmp_path / "missing", "No such file"),
        (tmp_path, "not a regular file"),
        (huge, "larger than"),
    ]:
        with pytest.raises(HtpasswdError, match=reason):
            open_file(path, Clock())


def test_changes_take_effect_within_a_second(tmp_path: Path) -> None:
    """The file is looked at once a second and read when it has changed."""
    path, clock = tmp_path / "htpasswd", Clock()
    path.write_text(entry("alice", "secret"))
    file = open_file(path, clock)

    path.write_text(entry("alice", "secret") + entry("bob", "secret"))
    assert list(file.users().hashes) == ["alice"]

    clock.pass_by(1)
    assert list(file.users().hashes) == ["alice", "bob"]

    path.write_text("")
    clock.pass_by(1)
    assert list(file.users().hashes) == []


def test_replaced_files_are_noticed(tmp_path: Path) -> None:
    """Another file of the same size and time under the same name is another file."""
    path, clock = tmp_path / "htpasswd", Clock()
    path.write_text(entry("alice", "secret"))
    file = open_file(path, clock)
    before = path.stat()

    other = tmp_path / "other"
    other.write_text(entry("carol", "secret"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)
    clock.pass_by(1)

    assert path.stat().st_size == before.st_size
    assert list(file.users().hashes) == ["carol"]


def test_broken_and_vanished_files_keep_the_users(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The old entries stay, each kind of trouble is logged once, and repair takes effect."""
    path, clock = tmp_path / "htpasswd", Clock()
    path.write_text(entry("alice", "secret"))
    file = open_file(path, clock)

    path.write_text("broken\n")
    for _ in range(3):
        clock.pass_by(1)
        assert list(file.users().hashes) == ["alice"]
    path.unlink()
    for _ in range(3):
        clock.pass_by(1)
        assert list(file.users().hashes) == ["alice"]

    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]

    path.write_text(entry("bob", "secret"))
    clock.pass_by(1)
    assert list(file.users().hashes) == ["bob"]


def test_refused_lines_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The operator reads which line is refused and why, and never a hash."""
    path = tmp_path / "htpasswd"
    path.write_text("mallory:$apr1$abcdefgh$ijklmnop\n")

    assert list(open_file(path, Clock()).users().hashes) == []

    messages = [record.getMessage() for record in caplog.records]
    assert "htpasswd line 1: it uses MD5 (apr1), which is not safe" in messages[0]
    assert "nobody" in messages[1]
    assert "ijklmnop" not in caplog.text
