# SPDX-License-Identifier: Apache-2.0
"""Conditional requests (RFC 9110 section 13): the entity tag of everything is its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.spec.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.http.request import Request
    from moorage.spec.digests import Digest


def matches(header: str | None, digest: Digest | None) -> bool:
    """Whether an `If-Match` or `If-None-Match` value names what is there (None: nothing is)."""
    if header is None or digest is None:
        return False
    if header.strip() == "*":
        return True
    # Weak tags compare like strong ones: equal digests are equal bytes.
    tags = (item.strip().removeprefix("W/").strip('"') for item in header.split(","))
    return digest in tags


def precondition(request: Request) -> Callable[[Digest | None], None] | None:
    """The check that a write asks for in its headers, or None."""
    if_match = ",".join(request.header_values(b"if-match")) or None
    if_none_match = ",".join(request.header_values(b"if-none-match")) or None
    if if_match is None and if_none_match is None:
        return None

    def check(current: Digest | None) -> None:
        if if_match is not None and not matches(if_match, current):
            raise PreconditionFailed(
                f"If-Match does not hold: the tag is at {current or 'nothing'}."
            )
        if matches(if_none_match, current):
            raise PreconditionFailed(f"If-None-Match does not hold: the tag is at {current}.")

    return check
