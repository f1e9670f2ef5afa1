# SPDX-License-Identifier: Apache-2.0
"""`Warning` reply headers: remarks that clients show to people.

What is worth a remark is decided elsewhere. Invariant: every value has the one form that the
specification allows, `299 - "text"`, and all values of a reply together stay within its limit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# The specification's limit for all warnings of one response together.
MAX_WARNING_BYTES: Final = 4096

# A remark of two thousand characters is cut, so that the first one fits even if all are escaped.
_MAX_TEXT_LENGTH: Final = 2000

_blanks = re.compile(r"[\x00-\x20\x7f]+")
_needs_escape = re.compile(r'(["\\])')


def warning_header(texts: Iterable[str]) -> list[str]:
    """The values of the `Warning` lines, in order; what no longer fits is left out.

    Control characters become blanks and characters beyond ASCII question marks, since a header has
    no encoding that both sides agree on.
    """
    values: list[str] = []
    left = MAX_WARNING_BYTES
    for text in texts:
        plain = _blanks.sub(" ", text[:_MAX_TEXT_LENGTH]).strip()
        ascii_text = plain.encode("ascii", "replace").decode("ascii")
        value = '299 - "' + _needs_escape.sub(r"\\\1", ascii_text) + '"'
        if plain and len(value) <= left:
            values.append(value)
            left -= len(value)
    return values
