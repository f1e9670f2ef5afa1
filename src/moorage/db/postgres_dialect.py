# SPDX-License-Identifier: Apache-2.0
"""The shared SQL text with one thing added: a change also tells the number of its transaction.

Whoever loses the connection while committing asks for the fate of that number on another one. It
travels with the rows of the first change, so knowing it costs no round trip.
"""

from __future__ import annotations

import re
from functools import cache

_PARENTHESES = re.compile(r"\([^()]*\)")
_NUMBER = "pg_current_xact_id()::text"
TRANSACTION_NUMBER = f"SELECT {_NUMBER}"
_CHANGES = ("INSERT", "UPDATE", "DELETE")


@cache
def is_read(sql: str) -> bool:
    """Whether the statement surely changes nothing. Statements are a closed set."""
    return sql.split(maxsplit=1)[0].upper() == "SELECT"


@cache
def numbered(sql: str) -> str | None:
    """The change with the transaction's number as the last column of the rows it returns.

    None where that is not a matter of adding words at the end.
    """
    if sql.split(maxsplit=1)[0].upper() not in _CHANGES:
        return None
    outside, inside = "", sql
    while outside != inside:
        outside, inside = inside, _PARENTHESES.sub("", inside)
    has_rows = re.search(r"\bRETURNING\b", outside)
    return f"{sql.rstrip()}, {_NUMBER}" if has_rows else f"{sql.rstrip()} RETURNING {_NUMBER}"
