# SPDX-License-Identifier: Apache-2.0
"""Digests: the grammar, the known vectors and incremental hashing."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.digests import (
    SUPPORTED_ALGORITHMS,
    Digest,
    digest_from,
    new_hasher,
    parse_algorithm,
)
from moorage.spec.errors import DigestInvalid

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
EMPTY_SHA512 = (
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
    "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
)
BRACES_SHA256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize(
    ("data", "algorithm", "encoded"),
    [
        (b"", "sha256", EMPTY_SHA256),
        (b"", "sha512", EMPTY_SHA512),
        (b"{}", "sha256", BRACES_SHA256),
    ],
)
def test_known_contents_have_their_known_digests(data: bytes, algorithm: str, encoded: str) -> None:
    """The empty blob and the empty descriptor have the digests that everybody knows."""
    digest = Digest.of(data, algorithm)

    assert f"{algorithm}:{encoded}" == digest
    assert (algorithm, encoded) == (digest.algorithm, digest.encoded)
    assert digest == Digest.parse(digest)


REFUSED = [
    ("", "empty text"),
    (":", "a colon alone"),
    ("sha256", "no colon"),
    ("sha256:", "nothing after the colon"),
    (f":{EMPTY_SHA256}", "nothing before the colon"),
    ("sha256:baddigeststring", "not hexadecimal"),
    ("sha256:totallywrong", "the old suite's bad digest"),
    (f"sha256:{EMPTY_SHA256.upper()}", "upper-case hexadecimal"),
    (f"SHA256:{EMPTY_SHA256}", "an upper-case algorithm"),
    (f"sha256:{EMPTY_SHA256[:-1]}", "one digit too few"),
    (f"sha256:{EMPTY_SHA256}0", "one digit too many"),
    (f"sha256:{EMPTY_SHA512}", "the length of the other algorithm"),
    (f"sha512:{EMPTY_SHA256}", "the length of the other algorithm, reversed"),
    (f"sha256:{EMPTY_SHA256}\n", "a line feed at the end"),
    (f" sha256:{EMPTY_SHA256}", "a blank in front"),
    (f"sha256:{EMPTY_SHA256[:-1]}\N{FULLWIDTH DIGIT FIVE}", "a digit that is not ASCII"),
    (f"sha256%3A{EMPTY_SHA256}", "percent encoding left in"),
    (f"blake3:{EMPTY_SHA256}", "a registered algorithm that is not supported"),
    ("md5:d41d8cd98f00b204e9800998ecf8427e", "a weak algorithm"),
    (f"sha256:sha256:{EMPTY_SHA256}", "two algorithms"),
    (f"sha256:../{EMPTY_SHA256[3:]}", "a path"),
    ("sha256:" + "a" * 1_000_000, "a megabyte"),
]


@pytest.mark.parametrize("text", [text for text, _ in REFUSED], ids=[why for _, why in REFUSED])
def test_everything_else_is_no_digest(text: str) -> None:
    """What is not a supported, lower-case, complete digest is refused with a short sentence."""
    with pytest.raises(DigestInvalid) as caught:
        Digest.parse(text)

    assert len(caught.value.message) < 500


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("nonsense", "write algorithm:hex"),
        (f"blake3:{EMPTY_SHA256}", "use sha256 or sha512"),
        (f"sha256:{EMPTY_SHA256.upper()}", "64 lower-case"),
        ("sha512:ab", "128 lower-case"),
    ],
)
def test_the_refusal_says_what_to_do(text: str, hint: str) -> None:
    """The message distinguishes bad form, unknown algorithm and bad hexadecimal."""
    with pytest.raises(DigestInvalid, match=hint):
        Digest.parse(text)


@pytest.mark.parametrize("text", ["", "sha1", "SHA256", "sha256 ", "blake3", "\ud800"])
def test_unknown_algorithms_are_refused(text: str) -> None:
    """parse_algorithm and new_hasher know exactly the supported algorithms."""
    with pytest.raises(DigestInvalid, match="use sha256 or sha512"):
        parse_algorithm(text)
    with pytest.raises(DigestInvalid):
        new_hasher(text)


@pytest.mark.parametrize("algorithm", SUPPORTED_ALGORITHMS)
def test_supported_algorithms_are_taken(algorithm: str) -> None:
    """parse_algorithm gives back each supported name."""
    assert algorithm == parse_algorithm(algorithm)


@pytest.mark.parametrize("algorithm", SUPPORTED_ALGORITHMS)
@given(pieces=st.lists(st.binary()))
def test_hashing_in_pieces_equals_hashing_at_once(algorithm: str, pieces: list[bytes]) -> None:
    """Any division of the bytes, with a copy on the way, gives the digest of the whole."""
    hasher = new_hasher(algorithm)
    for piece in pieces:
        hasher = hasher.copy()
        hasher.update(memoryview(piece))

    assert Digest.of(b"".join(pieces), algorithm) == digest_from(algorithm, hasher)


@given(st.binary(), st.sampled_from(SUPPORTED_ALGORITHMS))
def test_a_computed_digest_survives_parsing(data: bytes, algorithm: str) -> None:
    """What `of` computes, `parse` accepts, and it agrees with hashlib."""
    digest = Digest.parse(str(Digest.of(data, algorithm)))

    assert digest == f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@given(st.text() | st.from_regex(r"sha(256|512):[0-9a-fA-F]{60,130}"))
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    """Parsing gives back the very text or raises DigestInvalid, nothing else."""
    try:
        digest = Digest.parse(text)
    except DigestInvalid:
        return
    assert text == digest
    assert f"{digest.algorithm}:{digest.encoded}" == text


def test_a_digest_is_text_everywhere() -> None:
    """Hashing, JSON, copying and pickling treat a digest as the text that it is."""
    digest = Digest.of(b"x")

    assert {str(digest): 1}[digest] == 1
    assert json.dumps(digest) == f'"{digest}"'
    assert pickle.loads(pickle.dumps(digest)) == copy.copy(digest) == digest
