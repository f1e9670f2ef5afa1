# SPDX-License-Identifier: Apache-2.0
"""The header `Authorization: Basic`: from its text to a name and a password.

Nothing is verified here. Invariant: a header that means two things means nothing; it is refused
with a sentence that says what is wrong with it and that never repeats what it held.
"""

from __future__ import annotations

import binascii


class CredentialsMalformedError(Exception):
    """The credentials cannot be read; the message says why and is meant for the client."""


def parse_basic(encoded: str) -> tuple[str, str]:
    """Name and password of `base64(name:password)`; both are empty for `Og==`."""
    try:
        decoded = binascii.a2b_base64(encoded.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise CredentialsMalformedError(
            "The Basic credentials are not valid base64; send base64 of name:password."
        ) from None
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        # RFC 7617 leaves the charset open; clients that do not use UTF-8 use Latin-1.
        text = decoded.decode("latin-1")
    name, colon, password = text.partition(":")
    if not colon:
        raise CredentialsMalformedError(
            "The Basic credentials have no ':' between name and password; send both."
        )
    return name, password


def quoted_string(text: str) -> str:
    """The text as a quoted-string of RFC 9110, for the parameters of a challenge."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
