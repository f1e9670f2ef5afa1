# SPDX-License-Identifier: Apache-2.0
"""The htpasswd file: users and their password hashes, read again when the file changes.

Parsing and reloading; verification of passwords happens in `verifier`, editing in
`htpasswd_edit`. Invariant: once a file was read, a broken or missing one never changes who may
enter; a readable one does so within a second.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.access.passwords import HashRefusedError, StoredHash, default_decoy, parse_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from moorage.observe.logs import Logger

# One stat a second is the price of noticing changes, whatever the number of requests.
CHECK_INTERVAL_SECONDS = 1.0

# A hundred thousand users of a hundred bytes each; anything larger is not an htpasswd file.
MAX_FILE_BYTES = 16 * 1024 * 1024

# Apache's htpasswd takes no longer name.
MAX_USER_NAME_LENGTH = 255

Signature = tuple[int, int, int]


class HtpasswdError(Exception):
    """The file cannot be read or is no htpasswd file; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that lets nobody in, and why."""

    line: int
    user: str
    reason: str


@dataclass(frozen=True, slots=True)
class Users:
    """Who may enter. The decoys stand in for users that do not exist."""

    hashes: Mapping[str, StoredHash]
    decoys: tuple[StoredHash, ...]

    def decoy(self, draw: int) -> StoredHash:
        """A decoy, always the same for the same number; their costs are spread as the users'."""
        return self.decoys[draw % len(self.decoys)]


def parse_htpasswd(text: str) -> tuple[Users, tuple[RefusedLine, ...]]:
    """The users of a file and the lines that were refused.

    As in `registry:2`, blank lines and lines that begin with `#` are skipped, the last of several
    entries of one user counts, and a line without `:` makes the whole file broken.
    """
    hashes: dict[str, StoredHash] = {}
    refused: list[RefusedLine] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        user, colon, hashed = line.partition(":")
        if not colon:
            raise HtpasswdError(f"line {number} has no ':'; write one USER:HASH a line")
        try:
            _check_user(user)
            stored = parse_hash(hashed)
        except HashRefusedError as refusal:
            hashes.pop(user, None)
            refused.append(RefusedLine(number, user, str(refusal)))
        else:
            if user in hashes:
                refused.append(
                    RefusedLine(number, user, "it replaces an earlier line of this user")
                )
            hashes[user] = stored
    decoys = _decoys(tuple(hashes.values()))
    return Users(hashes, decoys), tuple(refused)


def _check_user(user: str) -> None:
    if not user:
        raise HashRefusedError("its user name is empty")
    if len(user) > MAX_USER_NAME_LENGTH or not user.isprintable():
        raise HashRefusedError(
            f"its user name is longer than {MAX_USER_NAME_LENGTH} characters or not printable"
        )


# So many distinct costs are imitated; a file has one or two.
_MAX_DECOYS = 64


def _decoys(hashes: tuple[StoredHash, ...]) -> tuple[StoredHash, ...]:
    step = max(1, len(hashes) // _MAX_DECOYS)
    return tuple(stored.decoy() for stored in hashes[::step]) or (default_decoy(),)


class HtpasswdFile:
    """A file on disk, and the users that it held when it was last readable."""

    def __init__(
        self, path: Path, *, log: Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file; raises HtpasswdError when that fails, because then nobody could enter."""
        self._path = path
        self._log = log
        self._clock = clock
        self._complaint: str | None = None
        self._signature = self._stat()
        self._users = self._read()
        self._checked_at = clock()

    def users(self) -> Users:
        """Who may enter now; looks at the file at most once a second."""
        now = self._clock()
        if now - self._checked_at >= CHECK_INTERVAL_SECONDS:
            self._checked_at = now
            self._reload()
        return self._users

    def _reload(self) -> None:
        try:
            signature = self._stat()
            if signature == self._signature:
                return
            users = self._read()
        except HtpasswdError as broken:
            self._complain(str(broken))
            return
        self._signature = signature
        self._users = users
        self._complaint = None
        self._log.info("htpasswd file read again", path=str(self._path), users=len(users.hashes))

    def _complain(self, reason: str) -> None:
        """Log each reason once, not every second for as long as it lasts."""
        if reason != self._complaint:
            self._complaint = reason
            self._log.error("htpasswd file not read again; the old users stay", reason=reason)

    def _stat(self) -> Signature:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - a third cheaper than Path.stat
        except OSError as error:
            raise self._broken(error.strerror or str(error)) from None
        if not stat.S_ISREG(status.st_mode):
            raise self._broken("it is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise self._broken(f"it is larger than {MAX_FILE_BYTES} bytes")
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Users:
        try:
            users, refused = parse_htpasswd(self._path.read_text("utf-8"))
        except OSError as error:
            raise self._broken(error.strerror or str(error)) from None
        except UnicodeDecodeError:
            raise self._broken("it is not UTF-8 text") from None
        except HtpasswdError as broken:
            raise self._broken(str(broken)) from None
        for line in refused:
            self._log.warning(
                f"htpasswd line {line.line}: {line.reason}",
                path=str(self._path),
                line=line.line,
                user=line.user,
            )
        if not users.hashes:
            self._log.warning("htpasswd file lets nobody in", path=str(self._path))
        return users

    def _broken(self, reason: str) -> HtpasswdError:
        return HtpasswdError(
            f"the htpasswd file {self._path} cannot be used: {reason}. "
            f"Add users to it with: moorage htpasswd --file {self._path} USER"
        )
