# SPDX-License-Identifier: Apache-2.0
"""Repository names, tags and references: what the grammar lets through."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid, NameInvalid, TagInvalid
from moorage.spec.names import (
    MAX_REPOSITORY_NAME_LENGTH,
    parse_reference,
    parse_repository,
    parse_tag,
)

# The grammar as the specification prints it.
NAME_GRAMMAR = (
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"  # of <name>
)

GOOD_NAMES = [
    "a",
    "0",
    "library/app",
    "a/blobs/b/manifests/x",
    "a/tags/list",
    "uploads",
    "a.b_c__d-e---f/0",
    "/".join("a" * 128),
    "a" * MAX_REPOSITORY_NAME_LENGTH,
]

BAD_NAMES = [
    ("", "empty"),
    ("/", "only a slash"),
    ("/a", "a slash in front"),
    ("a/", "a slash at the end"),
    ("a//b", "two slashes"),
    ("A", "upper case"),
    ("a/B", "upper case in a later part"),
    (".", "a dot"),
    ("..", "two dots"),
    ("a/../b", "traversal"),
    ("a/./b", "a dot as a part"),
    ("a..b", "two dots inside"),
    ("a___b", "three underscores"),
    ("a._b", "mixed separators"),
    ("-a", "a dash in front"),
    ("a-", "a dash at the end"),
    ("_catalog", "a reserved name"),
    ("_oci/ext", "the extension space"),
    ("a\n", "a line feed at the end"),
    ("a\x00b", "a zero byte"),
    ("a%2fb", "percent encoding"),
    ("a\\b", "a backslash"),
    ("a b", "a blank"),
    ("\N{LATIN SMALL LETTER A WITH DIAERESIS}", "a letter beyond ASCII"),
    ("\N{ARABIC-INDIC DIGIT ONE}", "a digit beyond ASCII"),
    ("\N{FULLWIDTH LATIN SMALL LETTER A}", "a full-width letter"),
    ("\ud800", "half a character"),
    ("host:5000/a", "a host with a port"),
    ("a" * (MAX_REPOSITORY_NAME_LENGTH + 1), "one character too long"),
    ("a-" * 500_000, "a megabyte"),
]


@pytest.mark.parametrize("text", GOOD_NAMES)
def test_good_names_are_taken_as_they_are(text: str) -> None:
    """A name within the grammar comes back unchanged, also with words of our own paths in it."""
    assert text == parse_repository(text)


@pytest.mark.parametrize("text", [text for text, _ in BAD_NAMES], ids=[why for _, why in BAD_NAMES])
def test_bad_names_are_refused(text: str) -> None:
    """A name outside the grammar is refused with a short sentence that quotes it harmlessly."""
    with pytest.raises(NameInvalid) as caught:
        parse_repository(text)

    assert len(caught.value.message) < 500
    assert caught.value.message.isprintable()


@given(st.from_regex(NAME_GRAMMAR, fullmatch=True) | st.text("ab0._-/A", max_size=30) | st.text())
def test_the_grammar_is_the_specification_s(text: str) -> None:
    """A text is a name exactly if the specification's own expression matches and it fits."""
    legal = re.fullmatch(NAME_GRAMMAR, text) and len(text) <= MAX_REPOSITORY_NAME_LENGTH

    if legal:
        assert text == parse_repository(text)
    else:
        with pytest.raises(NameInvalid):
            parse_repository(text)


@pytest.mark.parametrize(
    "text", ["latest", "Latest", "1.4", "_", "a" * 128, "sha256-ab.sig", "0--"]
)
def test_good_tags_are_taken_as_they_are(text: str) -> None:
    """A tag within the grammar comes back unchanged, upper case included."""
    assert text == parse_tag(text)


BAD_TAGS = [
    ("", "empty"),
    (".INVALID_MANIFEST_NAME", "a dot in front, as the old suite sends"),
    ("-a", "a dash in front"),
    ("a" * 129, "one character too long"),
    ("a/b", "a slash"),
    ("a:b", "a colon"),
    ("a+b", "a plus"),
    ("a\n", "a line feed at the end"),
    ("a b", "a blank"),
    ("..", "two dots"),
    ("\N{LATIN SMALL LETTER E WITH ACUTE}", "a letter beyond ASCII"),
    ("\udcff", "half a character"),
]


@pytest.mark.parametrize("text", [text for text, _ in BAD_TAGS], ids=[why for _, why in BAD_TAGS])
def test_bad_tags_are_refused(text: str) -> None:
    """A tag outside the grammar is refused."""
    with pytest.raises(TagInvalid):
        parse_tag(text)


def test_a_colon_makes_a_reference_a_digest() -> None:
    """References with a colon are digests, the others tags, and each fails as its own kind."""
    digest = Digest.of(b"")

    assert isinstance(parse_reference(str(digest)), Digest)
    assert not isinstance(parse_reference("latest"), Digest)
    with pytest.raises(DigestInvalid):
        parse_reference("latest:1")
    with pytest.raises(TagInvalid):
        parse_reference(".x")


@given(st.text())
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    """parse_reference gives back the very text or raises TagInvalid or DigestInvalid."""
    try:
        found = parse_reference(text)
    except (TagInvalid, DigestInvalid):
        return
    assert text == found
