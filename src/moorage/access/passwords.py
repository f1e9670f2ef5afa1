# SPDX-License-Identifier: Apache-2.0
"""Password hashes: which schemes are known, how a password is verified and hashed.

Knows nothing of files, users or time limits. Every function may take long and holds no lock of the
interpreter meanwhile; whoever calls it from an event loop uses a thread. Invariant: only hashes
made to be slow are accepted, and a decoy costs exactly as much as the hash that it imitates.
"""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from typing import Final, Literal

import argon2
import bcrypt

Scheme = Literal["bcrypt", "argon2"]

# bcrypt looks at no more than this; Apache's htpasswd and `registry:2` cut without a word.
MAX_BCRYPT_PASSWORD_BYTES = 72

# The least that OWASP recommends. Every client pays it once a minute, so more is a choice.
DEFAULT_BCRYPT_COST = 10
MIN_BCRYPT_COST = 4

# About four seconds a log-in; the scheme allows 31, which is three days. Apache stops at 17.
MAX_BCRYPT_COST = 16

# 2 GiB: the first recommendation of RFC 9106, and more than a registry should spend on a log-in.
MAX_ARGON2_MEMORY_KIB = 2 * 1024 * 1024
MAX_ARGON2_TIME_COST = 64
DEFAULT_ARGON2_TIME_COST = argon2.DEFAULT_TIME_COST

# Salt of 128 and digest of 184 bits: the last character of each has bits that must be zero.
_BCRYPT = re.compile(
    r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]",
    re.ASCII,
)

_OTHER_SCHEMES: Final = (
    ("$apr1$", "MD5 (apr1)"),
    ("$1$", "MD5"),
    ("{SHA}", "SHA-1"),
    ("{SSHA}", "SHA-1"),
    ("$5$", "SHA-256 crypt"),
    ("$6$", "SHA-512 crypt"),
    ("$2x$", "broken bcrypt (2x)"),
)

_ARGON2_TYPES: Final = {
    "$argon2id$": argon2.Type.ID,
    "$argon2i$": argon2.Type.I,
    "$argon2d$": argon2.Type.D,
}


class HashRefusedError(Exception):
    """The text is no password hash that is accepted here; the message says why, without it."""


@dataclass(frozen=True, slots=True)
class StoredHash:
    """A password hash as a file holds it."""

    text: str
    scheme: Scheme

    def verify(self, password: bytes) -> bool:
        """Whether the password is the one; takes as long as the hash was made to cost.

        Raises argon2.exceptions.VerificationError when the machine could not compute it.
        """
        if self.scheme == "bcrypt":
            return bcrypt.checkpw(password[:MAX_BCRYPT_PASSWORD_BYTES], self.text.encode())
        kind = _ARGON2_TYPES[self.text[: self.text.index("$", 1) + 1]]
        try:
            return argon2.low_level.verify_secret(self.text.encode(), password, kind)
        except argon2.exceptions.VerifyMismatchError:
            return False

    def decoy(self) -> StoredHash:
        """A hash of nothing known, with this one's scheme and cost; made without computing."""
        if self.scheme == "bcrypt":
            salt = _random_text(_BCRYPT_ALPHABET, 21) + "."
            return StoredHash(
                self.text[:7] + salt + _random_text(_BCRYPT_ALPHABET, 30) + ".", "bcrypt"
            )
        head, salt, digest = self.text.rsplit("$", 2)
        return StoredHash(f"{head}${_imitate(salt)}${_imitate(digest)}", "argon2")


_BCRYPT_ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _random_text(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _imitate(unpadded: str) -> str:
    length = len(base64.b64decode(unpadded + "=" * (-len(unpadded) % 4)))
    return base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")


def parse_hash(text: str) -> StoredHash:
    """The stored hash of an htpasswd entry, or HashRefusedError with the reason."""
    if text.startswith("$argon2"):
        return _parse_argon2(text)
    match = _BCRYPT.fullmatch(text)
    if match is not None:
        cost = int(match["cost"])
        if not MIN_BCRYPT_COST <= cost <= MAX_BCRYPT_COST:
            raise HashRefusedError(
                f"its bcrypt cost is {cost}; {MIN_BCRYPT_COST} to {MAX_BCRYPT_COST} is accepted"
            )
        return StoredHash(text, "bcrypt")
    if text.startswith(("$2a$", "$2b$", "$2y$")):
        raise HashRefusedError("its bcrypt hash is damaged or cut off")
    for prefix, name in _OTHER_SCHEMES:
        if text.startswith(prefix):
            raise HashRefusedError(f"it uses {name}, which is not safe; use bcrypt or argon2")
    raise HashRefusedError("it is neither bcrypt nor argon2; plain text and crypt are not accepted")


def _parse_argon2(text: str) -> StoredHash:
    if not text.startswith(tuple(_ARGON2_TYPES)):
        raise HashRefusedError("its kind of argon2 is not known; use argon2id")
    try:
        parameters = argon2.extract_parameters(text)
        decoy = StoredHash(text, "argon2").decoy()
    except (argon2.exceptions.InvalidHashError, ValueError):
        raise HashRefusedError("its argon2 hash is damaged or cut off") from None
    if len(decoy.text) != len(text):
        raise HashRefusedError("its argon2 hash is damaged or cut off")
    if parameters.memory_cost > MAX_ARGON2_MEMORY_KIB:
        raise HashRefusedError(f"it needs more memory than {MAX_ARGON2_MEMORY_KIB} KiB")
    if parameters.time_cost > MAX_ARGON2_TIME_COST:
        raise HashRefusedError(f"its argon2 time cost is above {MAX_ARGON2_TIME_COST}")
    return StoredHash(text, "argon2")


def default_decoy() -> StoredHash:
    """A decoy for files without a usable entry."""
    return StoredHash(f"$2b${DEFAULT_BCRYPT_COST:02}$" + "." * 53, "bcrypt").decoy()


def hash_bcrypt(password: str, *, cost: int = DEFAULT_BCRYPT_COST) -> str:
    """A new bcrypt hash; ValueError where the password or the cost does not suit bcrypt."""
    secret = password.encode()
    if len(secret) > MAX_BCRYPT_PASSWORD_BYTES:
        raise ValueError(
            f"bcrypt looks only at the first {MAX_BCRYPT_PASSWORD_BYTES} bytes of a password and "
            f"this one has {len(secret)}; use argon2 or a shorter one"
        )
    if not MIN_BCRYPT_COST <= cost <= MAX_BCRYPT_COST:
        raise ValueError(f"the cost of bcrypt is {MIN_BCRYPT_COST} to {MAX_BCRYPT_COST}")
    return bcrypt.hashpw(secret, bcrypt.gensalt(cost)).decode()


def hash_argon2(password: str, *, time_cost: int = DEFAULT_ARGON2_TIME_COST) -> str:
    """A new argon2id hash; ValueError where the cost is out of bounds."""
    if not 1 <= time_cost <= MAX_ARGON2_TIME_COST:
        raise ValueError(f"the cost of argon2 is 1 to {MAX_ARGON2_TIME_COST}")
    return argon2.PasswordHasher(time_cost=time_cost).hash(password)
