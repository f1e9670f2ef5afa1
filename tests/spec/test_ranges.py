# SPDX-License-Identifier: Apache-2.0
"""Byte ranges: the table of the conformance suite, the rules of RFC 9110, and hostile lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.errors import RangeInvalid
from moorage.spec.ranges import MAX_RANGES, ByteRange, parse_content_range, parse_range

SIZE = 2048

SERVED = [
    ("bytes=500-1499", [(500, 1500)]),
    ("bytes=500-", [(500, 2048)]),
    ("bytes=-500", [(1548, 2048)]),
    ("bytes=2000-5000", [(2000, 2048)]),
    ("bytes=0-", [(0, 2048)]),
    ("bytes=0-0", [(0, 1)]),
    ("bytes=-1", [(2047, 2048)]),
    ("bytes=-9999", [(0, 2048)]),
    ("bytes=2047-2047", [(2047, 2048)]),
    ("bytes=0-18446744073709551615", [(0, 2048)]),
    ("bytes=0000-0009", [(0, 10)]),
    ("Bytes = 0-9", [(0, 10)]),
    ("bytes= 0-9 ", [(0, 10)]),
    ("bytes=0-9,20-29", [(0, 10), (20, 30)]),
    ("bytes=20-29, 0-9,\t-5", [(20, 30), (0, 10), (2043, 2048)]),
    ("bytes=0-9,,20-29,", [(0, 10), (20, 30)]),
    ("bytes=0-9,5000-6000", [(0, 10)]),
    ("bytes=9-5,20-29", [(20, 30)]),
    ("bytes=0-999,1000-2047", [(0, 1000), (1000, 2048)]),
    ("bytes=" + ",".join(f"{n}-{n}" for n in range(MAX_RANGES)), [(n, n + 1) for n in range(64)]),
]


@pytest.mark.parametrize(("header", "expected"), SERVED)
def test_understood_ranges_are_served(header: str, expected: list[tuple[int, int]]) -> None:
    """Ranges are cut to the content; in a list those outside are left out."""
    found = parse_range(header, SIZE)

    assert found is not None
    assert expected == [(piece.start, piece.stop) for piece in found]


IGNORED = [
    None,
    "",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=a-b",
    "bytes=1",
    "bytes=1-2-3",
    "bytes=--5",
    "bytes=+1-2",
    "bytes=1 - 2",
    "bytes 0-9",
    "items=0-9",
    "=0-9",
    "bytes=,",
    "bytes=0-9,x",
    "bytes=0-9,-",
    "bytes=\N{ARABIC-INDIC DIGIT ONE}-2",
    "bytes=0-" + "9" * 5000,
    "bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)),
    "bytes=0-,0-",
    "bytes=0-2000,-2000",
]


@pytest.mark.parametrize("header", IGNORED)
def test_the_rest_is_ignored(header: str | None) -> None:
    """Other units, bad syntax, too many pieces and overlaps beyond the content mean everything."""
    assert parse_range(header, SIZE) is None


@pytest.mark.parametrize(
    "header",
    ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0", "bytes=3000-,4000-5000,9-8"],
)
def test_ranges_outside_the_content_are_416(header: str) -> None:
    """If nothing of what was asked is there, the refusal carries the size."""
    with pytest.raises(RangeInvalid) as caught:
        parse_range(header, SIZE)

    assert caught.value.status == 416
    assert caught.value.headers == (("Content-Range", "bytes */2048"),)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-9", "x"])
def test_empty_content_is_always_served_whole(header: str) -> None:
    """Content of no bytes has no ranges; asking for one is not an error."""
    assert parse_range(header, 0) is None


def test_a_range_knows_its_length_and_header() -> None:
    """The length and content_range are those of a 206 reply."""
    piece = ByteRange(500, 1500)

    assert piece.length == 1000
    assert piece.content_range(SIZE) == "bytes 500-1499/2048"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0-0", (0, 1)),
        ("0-99", (0, 100)),
        ("100-199", (100, 200)),
        ("bytes 5-9", (5, 10)),
        ("bytes 5-9/*", (5, 10)),
        ("bytes 5-9/10", (5, 10)),
        ("5-9/100", (5, 10)),
        (" Bytes  5-9 ", (5, 10)),
        ("0-9223372036854775806", (0, 2**63 - 1)),
    ],
)
def test_chunk_places_are_read_in_every_form(header: str, expected: tuple[int, int]) -> None:
    """The specification's bare form and HTTP's forms mean the same."""
    assert ByteRange(*expected) == parse_content_range(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "-",
        "5",
        "5-",
        "-5",
        "9-5",
        "0--1",
        "a-b",
        "bytes */10",
        "bytes=0-9",
        "bytes0-9",
        "items 0-9",
        "0-9/9",
        "0-9/x",
        "0-9,10-19",
        "0-9\n",
        "\N{ARABIC-INDIC DIGIT ONE}-2",
        "0-" + "9" * 5000,
    ],
)
def test_bad_chunk_places_are_416(header: str) -> None:
    """A Content-Range that is malformed or contradicts itself is refused."""
    with pytest.raises(RangeInvalid):
        parse_content_range(header)


texts = st.text() | st.text("bytes=0123456789-, */").map(lambda text: f"bytes={text}")


@given(texts, st.integers(0, 2**63 - 1))
def test_any_range_lies_within_the_content(header: str, size: int) -> None:
    """Every result is a non-empty piece of the content, and all errors are RangeInvalid."""
    try:
        found = parse_range(header, size)
    except RangeInvalid:
        return
    for piece in found or ():
        assert 0 <= piece.start < piece.stop <= size
    if found is not None:
        assert 1 <= len(found) <= MAX_RANGES
        assert sum(piece.length for piece in found) <= size


@given(st.data(), st.integers(1, 10_000))
def test_a_written_range_is_read_back(data: st.DataObject, size: int) -> None:
    """A range within the content survives Range and Content-Range."""
    start = data.draw(st.integers(0, size - 1))
    piece = ByteRange(start, data.draw(st.integers(start + 1, size)))

    assert parse_range(f"bytes={piece.start}-{piece.stop - 1}", size) == (piece,)
    assert piece == parse_content_range(piece.content_range(size))


@given(st.text() | st.text("bytes0123456789-/* "))
def test_any_content_range_is_read_or_refused(header: str) -> None:
    """parse_content_range gives a non-empty range or raises RangeInvalid."""
    try:
        piece = parse_content_range(header)
    except RangeInvalid:
        return
    assert piece.length > 0
