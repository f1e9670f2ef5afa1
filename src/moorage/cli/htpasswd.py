# SPDX-License-Identifier: Apache-2.0
"""`moorage htpasswd`: makes and changes the entries of an htpasswd file.

A thin door to `moorage.access`. Invariant: a password is never an argument, because everybody on
the machine can read those, and never appears in what is printed.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import Parameter

from moorage.access.htpasswd import MAX_USER_NAME_LENGTH
from moorage.access.htpasswd_edit import rewrite, with_user, without_user
from moorage.access.passwords import (
    DEFAULT_ARGON2_TIME_COST,
    DEFAULT_BCRYPT_COST,
    hash_argon2,
    hash_bcrypt,
)


def command(
    user: str,
    *,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"])] = None,
    argon2: Annotated[bool, Parameter(negative="")] = False,
    bcrypt: Annotated[bool, Parameter(negative="")] = False,
    cost: int | None = None,
    delete: Annotated[bool, Parameter(negative="")] = False,
    stdin: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Make or change an entry of an htpasswd file.

    Asks for the password twice. Without --file the entry is printed, so that it can be pasted; a
    running registry notices a changed file within a second.

    Parameters
    ----------
    user
        Name of the user; without ':'.
    file
        The file to change; it is made when it does not exist.
    argon2
        Hash with argon2id. Only newer programs read it; passwords may be of any length.
    bcrypt
        Hash with bcrypt, as registry:2, nginx and Apache read it. This is the default.
    cost
        How slow the hash is: for bcrypt 4 to 16 (default 10), for argon2 1 to 64 (default 3).
    delete
        Remove the user from the file instead.
    stdin
        Read the password from standard input, one line, instead of asking for it.
    """
    _check_user(user)
    if argon2 and bcrypt:
        _fail("choose one of --argon2 and --bcrypt")
    if delete:
        if file is None:
            _fail("--delete needs --file, the file to remove the user from")
        _delete(file, user)
        return
    password = _read_line() if stdin else _ask()
    try:
        if argon2:
            hashed = hash_argon2(
                password, time_cost=DEFAULT_ARGON2_TIME_COST if cost is None else cost
            )
        else:
            hashed = hash_bcrypt(password, cost=DEFAULT_BCRYPT_COST if cost is None else cost)
    except ValueError as error:
        _fail(str(error))
    if file is None:
        print(f"{user}:{hashed}")  # noqa: T201 - what the command is for
    else:
        _edit(file, user, hashed)


def _check_user(user: str) -> None:
    if not user or ":" in user or user.startswith("#") or user != user.strip():
        _fail("a user name is not empty, has no ':', no spaces around it and no '#' in front")
    if len(user) > MAX_USER_NAME_LENGTH or not user.isprintable():
        _fail(f"a user name has at most {MAX_USER_NAME_LENGTH} characters, all of them printable")


def _ask() -> str:
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Password again: ")
    except (EOFError, KeyboardInterrupt):
        _fail("no password was given; nothing was changed")
    if password != again:
        _fail("the two passwords differ; nothing was changed")
    return _checked(password)


def _read_line() -> str:
    text = sys.stdin.read()
    password = text.removesuffix("\n").removesuffix("\r")
    if "\n" in password:
        _fail("standard input has more than one line; send the password alone")
    return _checked(password)


def _checked(password: str) -> str:
    if not password:
        _fail("the password is empty; nothing was changed")
    return password


def _edit(file: Path, user: str, hashed: str) -> None:
    try:
        rewrite(file, lambda text: with_user(text, user, hashed))
    except (OSError, UnicodeDecodeError) as error:
        _fail_with_file(file, error)


def _delete(file: Path, user: str) -> None:
    def remove(text: str) -> str:
        remaining = without_user(text, user)
        if remaining is None:
            _fail(f"there is no user {user} in {file}")
        return remaining

    try:
        if not file.exists():
            _fail(f"there is no file {file}")
        rewrite(file, remove)
    except (OSError, UnicodeDecodeError) as error:
        _fail_with_file(file, error)


def _fail_with_file(file: Path, error: OSError | UnicodeDecodeError) -> NoReturn:
    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
    _fail(f"cannot change {file}: {reason}")


def _fail(message: str) -> NoReturn:
    print(f"moorage htpasswd: {message}", file=sys.stderr)  # noqa: T201 - for people
    raise SystemExit(1)
