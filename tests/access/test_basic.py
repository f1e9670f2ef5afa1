# SPDX-License-Identifier: Apache-2.0
"""Basic credentials."""

from __future__ import annotations

import base64

import pytest

from moorage.access.basic import CredentialsMalformedError, parse_basic, quoted_string


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"alice:secret", ("alice", "secret")),
        (b"alice:a:b:c", ("alice", "a:b:c")),
        (b":", ("", "")),
        (b"alice:", ("alice", "")),
        ("jos\u00e9:p\u00e4ss".encode(), ("jos\u00e9", "p\u00e4ss")),
        ("jos\u00e9:p\u00e4ss".encode("latin-1"), ("jos\u00e9", "p\u00e4ss")),
        (b"robot$ci+x@a:pw", ("robot$ci+x@a", "pw")),
    ],
)
def test_credentials_are_read(raw: bytes, expected: tuple[str, str]) -> None:
    """The name ends at the first colon, and both common charsets are understood."""
    assert parse_basic(base64.b64encode(raw).decode()) == expected


@pytest.mark.parametrize(
    "text",
    ["", "@@@@", "YWxpY2U6c2VjcmV0\n", "YWxp Y2U6", "YWxpY2U", "=", "YWxpY2U=", "\u00e9\u00e9"],
)
def test_malformed_credentials_are_refused(text: str) -> None:
    """What is not exactly base64 of a name, a colon and a password is refused."""
    with pytest.raises(CredentialsMalformedError) as caught:
        parse_basic(text)

    assert "YWxp" not in str(caught.value)


def test_quotes_in_a_parameter_are_escaped() -> None:
    """A realm cannot end its own quotes."""
    assert quoted_string('a "b" \\c') == '"a \\"b\\" \\\\c"'
