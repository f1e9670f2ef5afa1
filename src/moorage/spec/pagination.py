# SPDX-License-Identifier: Apache-2.0
"""Pages of tags, repositories and referrers: `n`, `last` and the `Link` to the next page (end-8b).

Which entries a page holds is the business of a statement that begins after `last`. Invariant: a
link is relative to the registry, so that it works behind every proxy, and leads to the very next
entry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from moorage.spec.errors import PaginationNumberInvalid, RequestInvalid, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

# Every number that fits 64 bits; a longer one is beyond any maximum and need not be computed.
_MAX_DIGITS: Final = 19

_is_number = re.compile(r"[0-9]+").fullmatch


@dataclass(frozen=True, slots=True)
class Page:
    """What the client asked for: how many entries, and after which one."""

    limit: int | None = None
    last: str | None = None


def parse_page(n: str | None, last: str | None, *, maximum: int) -> Page:
    """The page that the query values `n` and `last` ask for.

    An n above the maximum is lowered to it: clients follow the Link, but few understand a refusal.
    An empty value counts as none, as in distribution.
    """
    if last:
        _check_text(last)
    return Page(limit=_limit(n, maximum) if n else None, last=last or None)


def next_link(
    path: str, limit: int | None, last: str, extra: Iterable[tuple[str, str]] = ()
) -> str:
    """The `Link` value to the page after `last`; `extra` are further query values to keep."""
    query = [] if limit is None else [("n", str(limit))]
    query += [("last", last), *extra]
    encoded = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    return f'<{path}?{encoded}>; rel="next"'


def _limit(n: str, maximum: int) -> int:
    if _is_number(n) is None:
        raise PaginationNumberInvalid(
            f"The page size n is {quoted(n)}; it must be a whole number, zero or more."
        )
    significant = n.lstrip("0")
    return maximum if len(significant) > _MAX_DIGITS else min(int(significant or "0"), maximum)


def _check_text(last: str) -> None:
    # No name holds a zero character, and PostgreSQL takes none in a text.
    is_text = "\0" not in last
    try:
        last.encode()
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise RequestInvalid(
            f"last is {quoted(last)}, which is not text; take it from the last entry seen."
        )
