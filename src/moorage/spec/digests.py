# SPDX-License-Identifier: Apache-2.0
"""Digests: the address of all content, `algorithm:encoded`.

Parsing, computing and incremental hashing live here; comparing a body with its digest is the work
of whoever receives the body. Invariant: what `Digest.parse` returns is of a supported algorithm,
in lower-case hexadecimal of the right length, hence safe in a path, a header and a log.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Protocol, Self

from moorage.spec.errors import DigestInvalid, quoted

SUPPORTED_ALGORITHMS: Final = ("sha256", "sha512")

_is_digest = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}").fullmatch
_has_digest_grammar = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):[a-zA-Z0-9=_-]+").fullmatch
_HEX_LENGTH: Final = {"sha256": 64, "sha512": 128}


class Hasher(Protocol):
    """A hash in progress."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far, in lower-case hexadecimal."""
        ...

    def copy(self) -> Self:
        """An independent hash that continues from here."""
        ...


class Digest(str):
    """A digest that was checked: by `parse`, or by the database that it was stored in."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The digest that the text spells, or `DigestInvalid`."""
        if _is_digest(text) is None:
            raise _refusal(text)
        return cls(text)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview, algorithm: str = "sha256") -> Self:
        """The digest of bytes at hand."""
        hasher = new_hasher(algorithm)
        hasher.update(data)
        return cls(f"{algorithm}:{hasher.hexdigest()}")

    @property
    def algorithm(self) -> str:
        """The part before the colon."""
        return self[: self.index(":")]

    @property
    def encoded(self) -> str:
        """The part after the colon."""
        return self[self.index(":") + 1 :]


def parse_algorithm(text: str) -> str:
    """The name of a supported algorithm, or `DigestInvalid`."""
    if text not in SUPPORTED_ALGORITHMS:
        raise DigestInvalid(
            f"The digest algorithm {quoted(text)} is not supported; use "
            f"{' or '.join(SUPPORTED_ALGORITHMS)}."
        )
    return text


def new_hasher(algorithm: str) -> Hasher:
    """A fresh hash of a supported algorithm, or `DigestInvalid`."""
    if algorithm == "sha256":
        return hashlib.sha256()
    if parse_algorithm(algorithm) == "sha512":
        return hashlib.sha512()
    raise AssertionError(algorithm)


def digest_from(algorithm: str, hasher: Hasher) -> Digest:
    """The digest of everything that the hasher was given."""
    return Digest(f"{algorithm}:{hasher.hexdigest()}")


def _refusal(text: str) -> DigestInvalid:
    """Why the text is no digest, said as precisely as possible."""
    grammar = _has_digest_grammar(text)
    if grammar is None:
        return DigestInvalid(
            f"{quoted(text)} is not a digest; write algorithm:hex, for example sha256: "
            "followed by 64 lower-case hexadecimal digits."
        )
    algorithm = grammar[1]
    length = _HEX_LENGTH.get(algorithm)
    if length is None:
        return DigestInvalid(
            f"The digest algorithm of {quoted(text)} is not supported; use "
            f"{' or '.join(SUPPORTED_ALGORITHMS)}."
        )
    return DigestInvalid(
        f"{quoted(text)} is not a {algorithm} digest; it needs exactly {length} lower-case "
        "hexadecimal digits after the colon."
    )
