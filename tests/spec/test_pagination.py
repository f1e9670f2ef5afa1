# SPDX-License-Identifier: Apache-2.0
"""Pages: n and last from the query, and links that lead to the next page."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.errors import OCIError, PaginationNumberInvalid, RequestInvalid
from moorage.spec.pagination import Page, next_link, parse_page


@pytest.mark.parametrize(
    ("n", "last", "expected"),
    [
        (None, None, Page()),
        ("", "", Page()),
        ("0", None, Page(limit=0)),
        ("10", None, Page(limit=10)),
        ("100", None, Page(limit=100)),
        ("101", None, Page(limit=100)),
        ("9" * 5000, None, Page(limit=100)),
        ("0" * 5000 + "7", None, Page(limit=7)),
        ("0" * 5000, None, Page(limit=0)),
        (None, "v1", Page(last="v1")),
        ("2", "a/b", Page(limit=2, last="a/b")),
        (None, "\N{SNOWMAN}", Page(last="\N{SNOWMAN}")),
    ],
)
def test_query_values_make_a_page(n: str | None, last: str | None, expected: Page) -> None:
    """Page size n is lowered to the maximum, empty values count as none, last may be any text."""
    assert expected == parse_page(n, last, maximum=100)


@pytest.mark.parametrize(
    "n", ["-1", "+1", "1.0", "a", " 1", "1 ", "1\n", "0x10", "1e3", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_other_page_sizes_are_refused(n: str) -> None:
    """Only plain digits are a page size."""
    with pytest.raises(PaginationNumberInvalid):
        parse_page(n, None, maximum=100)


@pytest.mark.parametrize("last", ["\0", "a\0b"])
def test_a_zero_character_is_no_last_entry(last: str) -> None:
    """A last that not every database can compare is refused before it meets one."""
    with pytest.raises(RequestInvalid):
        parse_page(None, last, maximum=100)


def test_half_a_character_is_no_last_entry() -> None:
    """A last that no encoding can hold is refused before it meets a database."""
    with pytest.raises(RequestInvalid):
        parse_page(None, "\udc80", maximum=100)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (next_link("/v2/a/tags/list", 2, "v1"), '</v2/a/tags/list?n=2&last=v1>; rel="next"'),
        (next_link("/v2/_catalog", None, "a/b"), '</v2/_catalog?last=a%2Fb>; rel="next"'),
        (
            next_link("/v2/a/referrers/sha256:ab", 5, "x", [("artifactType", "a/b+json")]),
            '</v2/a/referrers/sha256:ab?n=5&last=x&artifactType=a%2Fb%2Bjson>; rel="next"',
        ),
        (next_link("/v2/a", 1, '>"\r\n'), '</v2/a?n=1&last=%3E%22%0D%0A>; rel="next"'),
    ],
)
def test_links_are_relative_and_encoded(link: str, expected: str) -> None:
    """The link keeps n and further values, and encodes what would end it early."""
    assert expected == link


encodable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.none() | st.integers(0, 100), encodable, st.lists(st.tuples(encodable, encodable)))
def test_a_link_leads_to_its_page(
    limit: int | None, last: str, extra: list[tuple[str, str]]
) -> None:
    """Following the link gives the same n and last, and every further value."""
    target = next_link("/v2/a/tags/list", limit, last, extra).removesuffix('>; rel="next"')
    query = parse_qsl(urlsplit(target[1:]).query, keep_blank_values=True, max_num_fields=None)
    own = query[: len(query) - len(extra)]

    found = parse_page(dict(own).get("n"), dict(own).get("last"), maximum=100)

    assert Page(limit, last) == found
    assert extra == query[len(own) :]


@given(st.none() | st.text(), st.none() | st.text(), st.integers(0, 10_000))
def test_any_query_is_a_page_or_refused(n: str | None, last: str | None, maximum: int) -> None:
    """No text raises anything but an OCIError, and no limit exceeds the maximum."""
    try:
        page = parse_page(n, last, maximum=maximum)
    except OCIError:
        return
    assert page.limit is None or 0 <= page.limit <= maximum
