# SPDX-License-Identifier: Apache-2.0
"""What the tests of access share: a clock that is set by hand, users with cheap hashes, headers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from moorage.access.htpasswd import HtpasswdFile
from moorage.access.passwords import hash_bcrypt
from moorage.access.service import AccessService, AnonymousAccess
from moorage.access.tokens import TokenSigner
from moorage.access.verifier import PasswordVerifier
from moorage.observe.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = bytes(range(32))
BASE_URL = "https://registry.example:5000"


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def entry(user: str, password: str) -> str:
    """A line of an htpasswd file, as cheap as bcrypt can be."""
    return f"{user}:{hash_bcrypt(password, cost=4)}\n"


def basic(user: str, password: str) -> str:
    """The Authorization header of a user."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def open_file(path: Path, clock: Callable[[], float]) -> HtpasswdFile:
    """The htpasswd file at the path."""
    return HtpasswdFile(path, log=get_logger("test"), clock=clock)


def service_with(
    path: Path, *, anonymous: AnonymousAccess = "none", clock: Clock | None = None
) -> AccessService:
    """A service over the htpasswd file, all of whose clocks are the given one."""
    clock = clock or Clock()
    verifier = PasswordVerifier(
        open_file(path, clock), log=get_logger("test"), threads=1, clock=clock
    )
    signer = TokenSigner(KEY, clock=clock)
    return AccessService(verifier, realm="Registry", anonymous=anonymous, signer=signer)
