# SPDX-License-Identifier: Apache-2.0
"""Conditional requests: what matches, and what a write is refused for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from moorage.distribution.conditions import matches, precondition
from moorage.http.request import Request
from moorage.spec.digests import Digest
from moorage.spec.errors import PreconditionFailed

if TYPE_CHECKING:
    from moorage.http.types import Message

HERE = Digest.of(b"here")
OTHER = Digest.of(b"other")


def request_with(*headers: tuple[str, str]) -> Request:
    """A PUT with these headers, whose body nobody reads."""

    async def receive() -> Message:
        raise AssertionError("a condition is judged without the body")

    scope = {
        "method": "PUT",
        "path": "/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    return Request(scope, receive, "id")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ("*", True),
        (" * ", True),
        (f'"{HERE}"', True),
        (f'W/"{HERE}"', True),
        (f'"x", "{HERE}"', True),
        (f'"{OTHER}"', False),
        ("", False),
        ('""', False),
    ],
)
def test_matches(header: str | None, *, expected: bool) -> None:
    """An entity tag is the quoted digest, weak or strong, alone or in a list; * is anything."""
    assert matches(header, HERE) is expected


def test_nothing_matches_nothing() -> None:
    """Where nothing is, not even * matches."""
    assert not matches("*", None)
    assert not matches(f'"{HERE}"', None)


def test_without_headers_there_is_no_condition() -> None:
    """The usual push has nothing to check."""
    assert precondition(request_with(("content-type", "x"))) is None


@pytest.mark.parametrize(
    ("header", "value", "current", "refused"),
    [
        ("if-match", f'"{HERE}"', HERE, False),
        ("if-match", f'"{HERE}"', OTHER, True),
        ("if-match", f'"{HERE}"', None, True),
        ("if-match", "*", HERE, False),
        ("if-match", "*", None, True),
        ("if-none-match", "*", None, False),
        ("if-none-match", "*", HERE, True),
        ("if-none-match", f'"{HERE}"', OTHER, False),
        ("if-none-match", f'"{HERE}"', HERE, True),
    ],
)
def test_preconditions(header: str, value: str, current: Digest | None, *, refused: bool) -> None:
    """A write goes ahead if and only if its condition holds for what is there now."""
    check = precondition(request_with((header, value)))

    assert check is not None
    if refused:
        with pytest.raises(PreconditionFailed, match="does not hold"):
            check(current)
    else:
        check(current)


def test_a_header_on_several_lines_is_one_list() -> None:
    """Clients may repeat a header instead of writing commas."""
    check = precondition(request_with(("if-match", f'"{OTHER}"'), ("if-match", f'"{HERE}"')))

    assert check is not None
    check(HERE)


def test_both_conditions_must_hold() -> None:
    """If-Match and If-None-Match together: the stricter one decides."""
    check = precondition(request_with(("if-match", "*"), ("if-none-match", f'"{HERE}"')))

    assert check is not None
    check(OTHER)
    with pytest.raises(PreconditionFailed):
        check(HERE)
    with pytest.raises(PreconditionFailed):
        check(None)
