# SPDX-License-Identifier: Apache-2.0
"""Tokens: what they say, and what is not believed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.access.principals import ANONYMOUS, Principal
from moorage.access.scopes import Scope
from moorage.access.tokens import (
    MAX_TOKEN_LENGTH,
    TOKEN_SECONDS,
    TokenInvalidError,
    TokenSigner,
    TokenTooLongError,
)
from tests.access.people import KEY, Clock

SCOPES = (Scope("repository", "a/b", ("pull", "push")), Scope("registry", "catalog", ("catalog",)))
ALICE = Principal("alice", "user")


def test_a_token_says_what_was_put_into_it() -> None:
    """Another process with the same key reads principal and scopes back."""
    clock = Clock()
    token, _ = TokenSigner(KEY, clock=clock).issue(ALICE, SCOPES, stamp="s")
    claims = TokenSigner(KEY, clock=clock).read(token)

    assert claims.principal() == Principal("alice", "user", SCOPES)
    assert claims.stamp == "s"
    assert claims.expires_at - claims.issued_at == TOKEN_SECONDS


def test_a_token_fits_into_a_header() -> None:
    """Only characters of RFC 6750, so that no proxy and no client stumbles over it."""
    token, _ = TokenSigner(KEY, clock=Clock()).issue(Principal("j\u00f6 \r\n", "user"), SCOPES)

    assert token.isascii()
    assert not set(token) - set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/="
    )


def test_anonymous_tokens_are_anonymous() -> None:
    """A token without a user does not become one."""
    signer = TokenSigner(KEY, clock=Clock())
    token, _ = signer.issue(ANONYMOUS, ())

    assert signer.read(token).principal() == Principal("anonymous", "anonymous", ())


def test_tokens_expire() -> None:
    """A token is worth nothing once its time is over, or long before it was issued."""
    clock = Clock()
    signer = TokenSigner(KEY, clock=clock)
    token, _ = signer.issue(ALICE, ())

    clock.pass_by(TOKEN_SECONDS - 1)
    assert signer.read(token).name == "alice"
    clock.pass_by(1)
    with pytest.raises(TokenInvalidError):
        signer.read(token)
    clock.pass_by(-TOKEN_SECONDS - 61)
    with pytest.raises(TokenInvalidError):
        signer.read(token)


def test_other_keys_are_not_believed() -> None:
    """A token of another deployment is worth nothing."""
    token, _ = TokenSigner(KEY[::-1], clock=Clock()).issue(ALICE, ())

    with pytest.raises(TokenInvalidError):
        TokenSigner(KEY, clock=Clock()).read(token)


def test_stamps_are_no_tokens() -> None:
    """Password stamps depend on user and hash, and are made with a key of their own."""
    signer = TokenSigner(KEY, clock=Clock())

    assert signer.stamp("a", "h") == signer.stamp("a", "h")
    assert signer.stamp("a", "h") != signer.stamp("b", "h")
    assert signer.stamp("a", "h") != signer.stamp("a", "i")


@given(st.data())
def test_changed_tokens_are_not_believed(data: st.DataObject) -> None:
    """Whatever byte of payload or signature is changed, the token is worth nothing."""
    signer = TokenSigner(KEY, clock=Clock())
    token, _ = signer.issue(ALICE, SCOPES)
    raw = [
        bytearray(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in token.split(".")[1:]
    ]
    part = data.draw(st.sampled_from(raw))
    part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
    changed = ".".join(["mt1", *(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in raw)])

    with pytest.raises(TokenInvalidError):
        signer.read(changed)


@given(st.text() | st.text(alphabet="mt1.AB=-_").map("mt1.".__add__))
def test_junk_is_refused_quietly(text: str) -> None:
    """Any text at all is either a token or refused; nothing else is raised."""
    with pytest.raises(TokenInvalidError):
        TokenSigner(KEY, clock=Clock()).read(text)


def test_signed_nonsense_is_refused() -> None:
    """A payload that another version signed with the same key is no token of this one."""
    signer = TokenSigner(KEY, clock=Clock())
    payload = b'["robot","x",1]'
    parts = [payload, signer._sign(payload)]
    token = ".".join(["mt1", *(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)])

    with pytest.raises(TokenInvalidError):
        signer.read(token)


def test_tokens_stay_below_the_header_limit_of_proxies() -> None:
    """More scopes than fit are refused instead of making a header that nginx refuses."""
    signer = TokenSigner(KEY, clock=Clock())
    long = tuple(Scope("repository", f"{n:0255}", ("pull",)) for n in range(64))

    with pytest.raises(TokenTooLongError):
        signer.issue(ALICE, long)
    assert len(signer.issue(ALICE, long[:16])[0]) <= MAX_TOKEN_LENGTH


def test_short_keys_are_refused() -> None:
    """A key that could be guessed is a mistake of the deployment."""
    with pytest.raises(ValueError, match="32"):
        TokenSigner(b"secret")
