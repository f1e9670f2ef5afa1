# SPDX-License-Identifier: Apache-2.0
"""`moorage htpasswd`, as a person or a script calls it."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from moorage.access.htpasswd import parse_htpasswd

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import cyclopts
from moorage.cli.htpasswd import command
cyclopts.App(name="htpasswd", default_command=command)()
"""


def run(*arguments: str, password: str = "secret\n") -> subprocess.CompletedProcess[str]:
    """Call the command with the password on standard input."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        input=password,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def matches(text: str, user: str, password: str) -> bool:
    """Whether the registry would let the user in with a file of this text."""
    users, refused = parse_htpasswd(text)
    assert refused == ()
    return users.hashes[user].verify(password.encode())


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        (["--cost", "4"], "alice:$2b$04$"),
        (["--bcrypt", "--cost=5"], "alice:$2b$05$"),
        ([], "alice:$2b$10$"),
        (["--argon2", "--cost", "1"], "alice:$argon2id$"),
    ],
)
def test_an_entry_is_printed(options: list[str], prefix: str) -> None:
    """Without a file the line goes to standard output, and the password lets in."""
    result = run("alice", "--stdin", *options)

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(prefix)
    assert result.stdout.count("\n") == 1
    assert matches(result.stdout, "alice", "secret")


@pytest.mark.parametrize("password", ["secret", "secret\n", "secret\r\n"])
def test_the_line_end_is_no_part_of_the_password(password: str) -> None:
    """Scripts may end the line or not."""
    assert matches(
        run("alice", "--stdin", "--cost", "4", password=password).stdout, "alice", "secret"
    )


def test_a_file_is_made_and_changed(tmp_path: Path) -> None:
    """Users are added and changed, everything else stays, and so does the mode."""
    path = tmp_path / "htpasswd"
    run("alice", "--stdin", "--cost", "4", "--file", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    path.write_text("# people\n" + path.read_text())
    path.chmod(0o644)
    run("bob", "--stdin", "--cost", "4", "-f", str(path))
    result = run("alice", "--stdin", "--cost", "4", "--file", str(path), password="new")

    text = path.read_text()
    assert (result.returncode, result.stdout) == (0, "")
    assert text.startswith("# people\nalice:")
    assert matches(text, "alice", "new")
    assert matches(text, "bob", "secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_user_is_removed(tmp_path: Path) -> None:
    """--delete asks for no password and leaves the others."""
    path = tmp_path / "htpasswd"
    path.write_text("alice:1\nbob:2\n")
    result = run("alice", "--delete", "--file", str(path), password="")

    assert result.returncode == 0
    assert path.read_text() == "bob:2\n"


@pytest.mark.parametrize(
    ("arguments", "password", "message"),
    [
        (["a:b", "--stdin"], "x", "no ':'"),
        (["#a", "--stdin"], "x", "'#'"),
        ([" a", "--stdin"], "x", "spaces"),
        (["a\nb", "--stdin"], "x", "printable"),
        (["a", "--stdin"], "", "empty"),
        (["a", "--stdin"], "x\ny\n", "more than one line"),
        (["a", "--stdin"], "x" * 73, "--argon2|argon2"),
        (["a", "--stdin", "--cost", "3"], "x", "4 to 16"),
        (["a", "--stdin", "--argon2", "--cost", "0"], "x", "1 to 64"),
        (["a", "--stdin", "--argon2", "--bcrypt"], "x", "choose one"),
        (["a", "--delete"], "", "needs --file"),
        (["a", "--delete", "--file", "FILE"], "", "no user a"),
        (["a", "--delete", "--file", "FILE.missing"], "", "no file"),
        (["a", "--stdin", "--cost", "4", "--file", "FILE/x"], "x", "cannot change"),
        (["a", "--stdin", "--cost", "4", "--file", "missing/x"], "x", "cannot change"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path, arguments: list[str], password: str, message: str
) -> None:
    """What cannot be done ends with 1 and one sentence, changes nothing, and shows no traceback."""
    path = tmp_path / "htpasswd"
    path.write_text("bob:2\n")
    result = run(*[a.replace("FILE", str(path)) for a in arguments], password=password)

    assert result.returncode == 1
    assert any(part in result.stderr for part in message.split("|"))
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert path.read_text() == "bob:2\n"


def ask(*answers: str) -> tuple[int, str]:
    """Call the command on a terminal and type the answers; exit code and everything shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, "alice", "--cost", "4"])
    shown = b""
    left = list(answers)
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
            if shown.count(b"assword") > len(answers) - len(left) and shown.endswith(b": "):
                os.write(terminal, left.pop(0).encode() + b"\n")
    except OSError:
        pass  # Linux reports the end of the other side of a terminal as an error.
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def test_the_password_is_asked_for_twice_and_never_shown() -> None:
    """On a terminal the typed password does not appear."""
    code, shown = ask("secret", "secret")

    assert code == 0
    assert "secret" not in shown
    assert matches(shown.splitlines()[-1], "alice", "secret")


def test_two_different_answers_are_refused() -> None:
    """A typing mistake is noticed before anything is changed."""
    code, shown = ask("secret", "sceret")

    assert code == 1
    assert "differ" in shown


def test_the_help_explains_the_options() -> None:
    """--help names every option."""
    text = run("--help").stdout

    for option in ("--file", "--argon2", "--bcrypt", "--cost", "--delete", "--stdin"):
        assert option in text
