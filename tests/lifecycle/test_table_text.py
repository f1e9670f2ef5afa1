# SPDX-License-Identifier: Apache-2.0
"""Rows survive being text, whatever they hold and however the text is cut; damage is noticed."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.lifecycle.table_text import DamagedText, TextReader, TextWriter

CELLS = st.none() | st.text() | st.integers(-(2**63), 2**63 - 1) | st.binary()


def text_of(tables: dict[str, list[tuple[object, ...]]]) -> bytes:
    """The text of tables of two columns."""
    writer = TextWriter()
    pieces = []
    for name, rows in tables.items():
        pieces += [writer.table(name, ["a", "b"]), writer.rows(rows)]
    return b"".join([*pieces, writer.end()])


def tables_in(text: bytes, step: int) -> dict[str, list[tuple[object, ...]]]:
    """What a reader finds that is given so many bytes at a time."""
    reader, tables = TextReader(), dict[str, list[tuple[object, ...]]]()
    for start in range(0, len(text), step):
        for found in reader.feed(text[start : start + step]):
            tables.setdefault(found.table, []).extend(found.rows)
    reader.end()
    return tables


@given(
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=30),
    others=st.lists(st.tuples(CELLS, CELLS), max_size=3),
    step=st.integers(1, 400),
)
def test_rows_come_back(
    rows: list[tuple[object, ...]], others: list[tuple[object, ...]], step: int
) -> None:
    """Each table comes back with its rows, also one without any."""
    tables = {"first": rows, "second": others, "third": []}

    assert tables_in(text_of(tables), step) == tables


def test_text_that_shrinks_much_comes_back() -> None:
    """A few compressed bytes that become many rows are read to the last one."""
    rows: list[tuple[object, ...]] = [("x" * 100, number) for number in range(50_000)]

    assert tables_in(text_of({"large": rows}), 1 << 20) == {"large": rows}


def test_a_person_can_read_it() -> None:
    """The text is lines of JSON under gzip."""
    text = text_of({"tags": [("v1", b"\xff")]})

    assert [json.loads(line) for line in gzip.decompress(text).splitlines()] == [
        {"table": "tags", "columns": ["a", "b"]},
        ["v1", {"base64": "/w=="}],
    ]


@pytest.mark.parametrize("cut", [1, 8, 40])
def test_a_text_that_breaks_off_is_damaged(cut: int) -> None:
    """When the last bytes are missing, the end says so."""
    text = text_of({"tags": [("v1", 1)]})

    with pytest.raises(DamagedText):
        tables_in(text[:-cut], 7)


@pytest.mark.parametrize(
    "line",
    [b"[1]", b"[1,2,3]", b"{}", b"nonsense", b'[1,{"base64":2}]', b"[1,1.5]", b'{"table":1}'],
)
def test_strange_lines_are_damage(line: bytes) -> None:
    """A line that is neither a table nor a row of it is refused."""
    text = gzip.compress(b'{"table":"tags","columns":["a","b"]}\n' + line + b"\n")

    with pytest.raises(DamagedText):
        tables_in(text, 1 << 20)
