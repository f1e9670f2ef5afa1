# SPDX-License-Identifier: Apache-2.0
"""What may stand in a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.observe.redaction import (
    HIDDEN,
    MAX_FIELD_LENGTH,
    MAX_ITEMS,
    MAX_TRACEBACK_LENGTH,
    field_value,
    message_text,
    printable,
    traceback_text,
    without_secrets,
)

TOKEN = "mt1.WyJ1c2VyIl0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("J\u00f6rg", "J\u00f6rg"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("\ud800", "\\ud800"),
        ("\0", "\\x00"),
    ],
)
def test_control_characters_become_escapes(text: str, expected: str) -> None:
    """Line ends, terminal commands, direction marks and surrogates become visible text."""
    assert printable(text) == expected


@given(st.text())
def test_whatever_comes_out_is_printable(text: str) -> None:
    """No text at all gets a control character into the log, or breaks its encoding."""
    for result in (printable(text), message_text(text), str(field_value("x", text))):
        assert result.isprintable()
        result.encode()


def test_lengths_are_bounded() -> None:
    """A megabyte in a header is not a megabyte in the log."""
    assert len(printable("x" * 10**6)) == MAX_FIELD_LENGTH + 3
    assert len(str(field_value("x", b"y" * 10**6))) == MAX_FIELD_LENGTH + 3
    assert len(traceback_text("x\n" * 10**6)) <= MAX_TRACEBACK_LENGTH


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Basic YWxpY2U6c2VjcmV0", "YWxpY2U6c2VjcmV0"),
        ("authorization: basic YWxpY2U6c2VjcmV0Cg==", "YWxpY2U6c2VjcmV0"),
        (f"Bearer {TOKEN}", TOKEN[4:]),
        (f"got {TOKEN} from somewhere", TOKEN[4:]),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abc-_x", "eyJhbGci"),
        ("GET /token?account=a&refresh_token=abc123 failed", "abc123"),
        ("/x?X-Amz-Signature=abc123&y=1", "abc123"),
        ("/x?sig=abc123", "abc123"),
        ("/v2/a/blobs/uploads/1?_state=abc123", "abc123"),
        ("https://alice:abc123@registry.example/x", "abc123"),
        ("alice:$2b$10$abcdefghijklmnop", "abcdefgh"),
        ("alice:$argon2id$v=19$m=1,t=1$abcdefgh", "abcdefgh"),
    ],
)
def test_credentials_are_hidden(text: str, secret: str) -> None:
    """Whatever looks like a credential is hidden wherever it stands."""
    hidden = without_secrets(text)

    assert secret not in hidden
    assert HIDDEN in hidden


@pytest.mark.parametrize(
    "text",
    [
        "Basic authentication is required",
        "Bearer tokens are not accepted here",
        "/v2/a/tags/list?n=10&last=b",
        "sha256:" + "a" * 64,
        "mail alice@example.org",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """Words that only mention credentials are left alone."""
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "name", ["authorization", "Authorization", "password", "X-Api-Key", "set-cookie", "token_key"]
)
def test_fields_with_secret_names_are_hidden(name: str) -> None:
    """A field that is called like a secret is hidden whatever is in it."""
    assert field_value(name, 42) == HIDDEN
    assert field_value("headers", {name: "x", "accept": "*/*"}) == {name: HIDDEN, "accept": "*/*"}


def test_structures_are_bounded() -> None:
    """Numbers stay numbers, structures stay structures, down to a depth and up to a length."""
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]

    assert field_value("x", [1, None, True, 1.5, {"a": "\n"}]) == [1, None, True, 1.5, {"a": "\\n"}]
    assert len(field_value("x", list(range(1000)))) == MAX_ITEMS  # type: ignore[arg-type]
    assert "[[[[[" not in str(field_value("x", deep))[:5]
