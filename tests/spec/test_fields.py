# SPDX-License-Identifier: Apache-2.0
"""Typed access to JSON members: null is absent, the rest has its type or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from moorage.spec import fields
from moorage.spec.errors import ManifestInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.spec.fields import JSONObject

READERS: list[tuple[Callable[[JSONObject, str, str], object], object, list[object]]] = [
    (fields.text, "", [1, True, [], {}]),
    (fields.integer, None, ["1", 1.0, True, [], {}]),
    (fields.array, [], ["a", 1, {}]),
    (fields.texts, (), ["a", {}, [1], [None], ["a", []]]),
    (fields.text_map, {}, ["a", [], {"a": 1}, {"a": {}}, {"a": False}]),
]


@pytest.mark.parametrize(("read", "absent", "wrong"), READERS)
def test_absent_and_null_are_the_same(
    read: Callable[[JSONObject, str, str], object], absent: object, wrong: list[object]
) -> None:
    """Null reads like no member, and a value of another type is refused by member name."""
    assert absent == read({}, "x", "here")
    assert absent == read({"x": None}, "x", "here")
    for value in wrong:
        with pytest.raises(ManifestInvalid, match="here: x"):
            read({"x": value}, "x", "here")


def test_values_of_the_right_type_come_back() -> None:
    """Each reader returns the value it was made for; a null in a map of texts is empty text."""
    assert fields.text({"x": "a"}, "x", "") == "a"
    assert fields.integer({"x": 0}, "x", "") == 0
    assert fields.texts({"x": ["a", ""]}, "x", "") == ("a", "")
    assert fields.text_map({"x": {"a": "b", "c": None}}, "x", "") == {"a": "b", "c": ""}


@pytest.mark.parametrize("name", ["Layers", "LAYERS", "layer\N{LATIN SMALL LETTER LONG S}"])
def test_other_spellings_of_known_members_are_refused(name: str) -> None:
    """A name that Go would take for a known one must be written exactly."""
    with pytest.raises(ManifestInvalid, match="write it 'layers'"):
        fields.refuse_misspelled({name: []}, {"layers"}, "here")


def test_unknown_members_are_none_of_our_business() -> None:
    """Names that resemble nothing known pass, beside known ones."""
    fields.refuse_misspelled({"layers": [], "layers2": [], "": 1}, {"layers"}, "here")
