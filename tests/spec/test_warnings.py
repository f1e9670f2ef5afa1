# SPDX-License-Identifier: Apache-2.0
"""Warning headers: the one allowed form and the limit of all together."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.warnings import MAX_WARNING_BYTES, warning_header


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], []),
        (["Old format."], ['299 - "Old format."']),
        (["one", "two"], ['299 - "one"', '299 - "two"']),
        (['say "hi"', r"a\b"], [r'299 - "say \"hi\""', r'299 - "a\\b"']),
        (["a\r\nSet-Cookie: x\x00"], ['299 - "a Set-Cookie: x"']),
        (["na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve"], ['299 - "na?ve"']),
        (["", " \n"], []),
        (
            ["a" * 3000, "b" * 3000, "c"],
            ['299 - "' + "a" * 2000 + '"', '299 - "' + "b" * 2000 + '"', '299 - "c"'],
        ),
        (["a" * 2000] * 2 + ["b" * 100, "c"], ['299 - "' + "a" * 2000 + '"'] * 2 + ['299 - "c"']),
    ],
)
def test_texts_become_values(texts: list[str], expected: list[str]) -> None:
    """Each text is quoted and cleaned; what no longer fits is left out."""
    assert expected == warning_header(texts)


@given(st.lists(st.text() | st.text('"\\', min_size=1500, max_size=4000), max_size=5))
def test_any_texts_give_values_within_the_limit(texts: list[str]) -> None:
    """Every value has the form of the specification and the sum stays within 4096 bytes."""
    values = warning_header(texts)

    assert sum(map(len, values)) <= MAX_WARNING_BYTES
    for value in values:
        assert re.fullmatch(r'299 - "(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+"', value)
    assert values or not any(
        text[:2000].strip("\x7f" + bytes(range(33)).decode()) for text in texts
    )
