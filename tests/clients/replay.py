# SPDX-License-Identifier: Apache-2.0
"""A conversation as a table: each row is a request and what the client needs to hear.

A row is filled in with the names given to `replay`, and with `location`, which is that of the
latest answer that had one. A header that a row expects must be there with exactly that value (a
Location may name the registry in front of it); what a row does not mention is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tests.support.images import Content

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tests.support.wire import Answer, Header, Wire

PRESENT = "(any value)"
ABSENT = "(no such header)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request and the answer that its client needs."""

    ask: str
    status: int | Collection[int]
    sends: Mapping[str, str] = field(default_factory=dict)
    body: Content | bytes | None = None
    chunked: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Content | bytes | None = None
    code: str | None = None


def replay(
    wire: Wire, rows: Sequence[Row], *, always: Mapping[str, str] | None = None, **names: object
) -> list[Answer]:
    """Have the conversation; return the answers, one a row. `always` is sent with every request."""
    known = dict(names)
    answers: list[Answer] = []
    for number, row in enumerate(rows, start=1):
        answer = _ask(wire, row, always or {}, known)
        where = f"row {number}, {row.ask.format_map(known)}\n{answer}"
        _check(row, answer, known, where)
        if "Location" in answer.headers:
            known["location"] = answer.location
        answers.append(answer)
    return answers


def _ask(wire: Wire, row: Row, always: Mapping[str, str], known: Mapping[str, object]) -> Answer:
    method, _, target = row.ask.partition(" ")
    sent: list[Header] = [*always.items()]
    sent += [(name, value.format_map(known)) for name, value in row.sends.items()]
    body = _payload(row.body)
    if body is None and method in {"POST", "PUT", "PATCH"}:
        body = b""
    return wire.request(
        method, _target(target, known), body=body, headers=sent, chunked=row.chunked
    )


def _target(template: str, known: Mapping[str, object]) -> str:
    """The request target; a query joins one that a Location already has."""
    path, mark, query = template.partition("?")
    path, query = path.format_map(known), query.format_map(known)
    if not mark:
        return path
    return f"{path}{'&' if urlsplit(path).query else '?'}{quote(query, safe='=&%+/')}"


def _check(row: Row, answer: Answer, known: Mapping[str, object], where: str) -> None:
    wanted = {row.status} if isinstance(row.status, int) else set(row.status)
    assert answer.status in wanted, f"wanted {sorted(wanted)}: {where}"
    for name, value in row.headers.items():
        if value == ABSENT:
            assert name not in answer.headers, f"{name} is not wanted: {where}"
        elif value == PRESENT:
            assert name in answer.headers, f"{name} is missing: {where}"
        else:
            found = answer.headers.get(name)
            if name == "Location" and found is not None:
                found = urlsplit(found).path
            assert found == value.format_map(known), f"{name}: {where}"
    if row.answer is not None:
        assert answer.body == _payload(row.answer), f"another body was wanted: {where}"
    if row.code is not None:
        assert answer.error_codes() == [row.code], where


def _payload(body: Content | bytes | None) -> bytes | None:
    return body.payload if isinstance(body, Content) else body
