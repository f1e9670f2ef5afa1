# SPDX-License-Identifier: Apache-2.0
"""Short-lived tokens: made and read, opaque to clients, stored nowhere.

Pure: what a token may grant is decided by `service`, who may have one by `token_endpoint`.
Invariant: a text that this deployment's key did not sign, or whose time is over, is worth nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

import msgspec

from moorage.access.principals import Principal, PrincipalKind
from moorage.access.scopes import Action, Scope, ScopeKind

if TYPE_CHECKING:
    from collections.abc import Callable

# "Clients assume 60 if missing"; docker keeps a token until it expires and never asks again on a
# 401, so that it must outlast the requests of one layer. Harbor 30 minutes, GitLab 5.
TOKEN_SECONDS = 300

# Clocks of two replicas may differ by so much.
CLOCK_LEEWAY_SECONDS = 60

# nginx and others refuse header lines above 8 KiB; this leaves room for the rest of the line.
MAX_TOKEN_LENGTH = 7 * 1024

MIN_KEY_BYTES = 32

# Name of the audience in challenges and token requests; clients only echo it.
TOKEN_SERVICE = "moorage"  # noqa: S105 - a name, no secret

_PREFIX = "mt1."


class TokenInvalidError(Exception):
    """The token is expired, forged or damaged."""


class TokenTooLongError(Exception):
    """The scopes asked for do not fit into one token."""


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a token says. `stamp` ties it to the password that it was got with."""

    kind: PrincipalKind
    name: str
    stamp: str
    issued_at: int
    expires_at: int
    scopes: tuple[tuple[ScopeKind, str, tuple[Action, ...]], ...]

    def principal(self) -> Principal:
        """Whoever holds the token, narrowed to what it grants."""
        return Principal(self.name, self.kind, tuple(Scope(*scope) for scope in self.scopes))


class TokenSigner:
    """Makes and reads tokens with one key, the same in every process of a deployment."""

    def __init__(self, key: bytes, *, clock: Callable[[], float] = time.time) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the token key has {len(key)} bytes; it needs {MIN_KEY_BYTES}")
        self._token_key = hmac.digest(key, b"moorage token", "sha256")
        self._stamp_key = hmac.digest(key, b"moorage stamp", "sha256")
        self._clock = clock
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Claims)

    def stamp(self, user: str, stored_hash: str) -> str:
        """A mark of user and password hash; another one means that the password has changed."""
        mac = hmac.digest(self._stamp_key, f"{user}:{stored_hash}".encode(), "sha256")
        return _encode(mac[:12])

    def issue(
        self, principal: Principal, scopes: tuple[Scope, ...], *, stamp: str = ""
    ) -> tuple[str, Claims]:
        """A token for the principal that grants the scopes, and what it says."""
        now = int(self._clock())
        granted = tuple((scope.kind, scope.name, scope.actions) for scope in scopes)
        claims = Claims(principal.kind, principal.name, stamp, now, now + TOKEN_SECONDS, granted)
        payload = self._encoder.encode(claims)
        token = f"{_PREFIX}{_encode(payload)}.{_encode(self._sign(payload))}"
        if len(token) > MAX_TOKEN_LENGTH:
            raise TokenTooLongError
        return token, claims

    def read(self, token: str) -> Claims:
        """What the token says, or TokenInvalidError."""
        payload_text, dot, signature_text = token.removeprefix(_PREFIX).partition(".")
        if not dot or not token.startswith(_PREFIX) or len(token) > MAX_TOKEN_LENGTH:
            raise TokenInvalidError
        payload, signature = _decode(payload_text), _decode(signature_text)
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise TokenInvalidError
        try:
            claims = self._decoder.decode(payload)
        except msgspec.DecodeError:
            raise TokenInvalidError from None
        now = self._clock()
        if not claims.issued_at - CLOCK_LEEWAY_SECONDS <= now < claims.expires_at:
            raise TokenInvalidError
        return claims

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._token_key, payload, hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error):
        raise TokenInvalidError from None
