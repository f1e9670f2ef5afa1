# SPDX-License-Identifier: Apache-2.0
"""What may stand in a log: no secrets, no control characters, nothing of unbounded length.

Everything that is logged passes through here, whether it came from us, a library or a client.
Invariant: what comes out is printable on one line, so that no text can end a line, forge the next
one or speak to the terminal of whoever reads it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

HIDDEN = "[hidden]"

# A digest and a long repository name fit; as journald's own fields, a line stays readable.
MAX_FIELD_LENGTH = 1024
MAX_MESSAGE_LENGTH = 4096

# A traceback of a hundred frames.
MAX_TRACEBACK_LENGTH = 32 * 1024

MAX_ITEMS = 64
MAX_DEPTH = 4

_SECRET_NAME = re.compile(r"authorization|cookie|passw|secret|token|credential|signature|api_?key")

# Shortest first words: each alternative begins with something that a search finds quickly.
_SECRETS = re.compile(
    r"""
      (?P<bearer>\bbearer\s+)[\w.~+/=-]{20,}
    | (?P<basic>\bbasic\s+)(?P<encoded>[A-Za-z0-9+/=]{4,})
    | (?P<query>[?&;](?:[\w.-]*(?:token|signature|secret|passw|credential|_state)[\w.-]*|sig)=)
      [^&;\s"']+
    | (?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/\s@"']+(?=@)
    | (?P<hash>\$(?:2[abxy]|argon2\w+|apr1|[156])\$)[^\s"']+
    | (?P<own>\bmt1\.)[\w.-]+
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def printable(text: str, limit: int = MAX_FIELD_LENGTH) -> str:
    """The text on one line, its control characters written as escapes, cut at the limit."""
    if len(text) > limit:
        text = text[:limit] + "..."
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def without_secrets(text: str) -> str:
    """The text with everything hidden that looks like a credential."""
    return _SECRETS.sub(_hide, text)


def _hide(match: re.Match[str]) -> str:
    if match["basic"] is not None and not _is_credentials(match["encoded"]):
        return match[0]
    kept = next(value for value in match.groups() if value is not None)
    return kept + HIDDEN


def _is_credentials(encoded: str) -> bool:
    """Whether this is base64 of `name:password` and not a word of a sentence."""
    try:
        return b":" in base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error:
        return False


def message_text(text: str) -> str:
    """A message as it may be logged."""
    return printable(without_secrets(text), MAX_MESSAGE_LENGTH)


def traceback_text(text: str) -> str:
    """A traceback as it may be logged: its line ends stay, everything else is made printable."""
    lines = without_secrets(text[-MAX_TRACEBACK_LENGTH:]).split("\n")
    return "\n".join(printable(line, MAX_MESSAGE_LENGTH) for line in lines)


def field_value(name: str, value: object, depth: int = 0) -> object:
    """A field's value as it may be logged: a number, a text, or a small structure of those."""
    if _SECRET_NAME.search(name.lower().replace("-", "_")):
        return HIDDEN
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return printable(without_secrets(value))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        items = list(value.items())[:MAX_ITEMS]
        return {printable(str(k)): field_value(str(k), v, depth + 1) for k, v in items}
    if depth < MAX_DEPTH and isinstance(value, Sequence) and not isinstance(value, bytes):
        return [field_value("", item, depth + 1) for item in value[:MAX_ITEMS]]
    return printable(without_secrets(str(value)))
