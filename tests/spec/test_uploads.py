# SPDX-License-Identifier: Apache-2.0
"""Upload arithmetic: chunks in order, lengths that agree, and honest Range headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.errors import RangeInvalid, SizeInvalid
from moorage.spec.uploads import expected_chunk, range_header


@pytest.mark.parametrize(
    ("offset", "content_range", "content_length", "expected"),
    [
        (0, None, None, None),
        (7, None, None, None),
        (7, None, 5, 5),
        (0, None, 0, 0),
        (0, "0-4", 5, 5),
        (0, "0-4", None, 5),
        (5, "5-9", 5, 5),
        (5, "bytes 5-9/10", 5, 5),
        (1048576, "1048576-1048576", None, 1),
    ],
)
def test_a_fitting_chunk_has_a_known_length(
    offset: int, content_range: str | None, content_length: int | None, expected: int | None
) -> None:
    """The length comes from Content-Range, else Content-Length, else nobody knows it."""
    assert expected == expected_chunk(offset, content_range, content_length)


@pytest.mark.parametrize(
    ("offset", "content_range", "content_length"),
    [
        (0, "1-5", 5),
        (5, "0-4", 5),
        (5, "4-9", 6),
        (1048576, "5-9", 5),
        (5, "6-9", None),
        (5, "0-4", 99),
        (0, "nonsense", 5),
        (0, "", 5),
    ],
)
def test_a_chunk_out_of_order_is_416(
    offset: int, content_range: str, content_length: int | None
) -> None:
    """Another beginning than the offset is refused, with and without Content-Length."""
    with pytest.raises(RangeInvalid):
        expected_chunk(offset, content_range, content_length)


@pytest.mark.parametrize(("content_range", "content_length"), [("5-9", 4), ("5-9", 6), ("5-9", 0)])
def test_lengths_that_disagree_are_refused(content_range: str, content_length: int) -> None:
    """Content-Range and Content-Length must announce the same number of bytes."""
    with pytest.raises(SizeInvalid):
        expected_chunk(5, content_range, content_length)


@pytest.mark.parametrize(
    ("offset", "expected"), [(0, "0-0"), (1, "0-0"), (2, "0-1"), (1048576, "0-1048575")]
)
def test_the_range_header_names_the_last_byte(offset: int, expected: str) -> None:
    """Docker adds one to the last number to get the size; nothing is 0-0."""
    assert expected == range_header(offset)


@given(st.lists(st.integers(1, 2**40)))
def test_chunks_in_order_always_fit(lengths: list[int]) -> None:
    """A client that counts on from the last Range it was told is never refused."""
    offset = 0
    for length in lengths:
        chunk = f"{offset}-{offset + length - 1}"
        assert length == expected_chunk(offset, chunk, length)
        offset += length
        assert range_header(offset) == f"0-{offset - 1}"


@given(
    st.integers(0, 2**63),
    st.none() | st.text() | st.text("0123456789-"),
    st.none() | st.integers(0),
)
def test_any_header_fits_or_is_refused(
    offset: int, content_range: str | None, content_length: int | None
) -> None:
    """No header raises anything but RangeInvalid and SizeInvalid."""
    try:
        length = expected_chunk(offset, content_range, content_length)
    except (RangeInvalid, SizeInvalid):
        return
    assert length is None or length >= 0
