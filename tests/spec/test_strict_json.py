# SPDX-License-Identifier: Apache-2.0
"""Strict JSON: what all parsers agree on passes, everything else is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.errors import ManifestInvalid
from moorage.spec.strict_json import MAX_DEPTH, MAX_VALUES, loads

GOOD = [
    (b"{}", {}),
    (b" \t\r\n[1, -0, 2.5e3, true, null] ", [1, 0, 2500.0, True, None]),
    (b'{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
    (b"9223372036854775807", 2**63 - 1),
    (b"-9223372036854775808", -(2**63)),
    (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
    (rb'"\\ud83d"', r"\ud83d"),
    ('"\N{GRINNING FACE}"'.encode(), "\N{GRINNING FACE}"),
    (rb'"\u0000"', "\x00"),
    (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
    (b'"' + b"[{," * 400_000 + b'"', None),
]


@pytest.mark.parametrize(("payload", "expected"), GOOD, ids=[str(n) for n in range(len(GOOD))])
def test_plain_json_is_read(payload: bytes, expected: object) -> None:
    """JSON without tricks is read, up to the bounds and with brackets in text not counted."""
    assert loads(payload) == (json.loads(payload) if expected is None else expected)


BAD = [
    (b"", "nothing"),
    (b" ", "a blank"),
    (b"{", "an open object"),
    (b"{}{}", "two values"),
    (b"{} x", "something after the value"),
    (b"{'a':1}", "single quotes"),
    (b'{"a":1,}', "a comma too many"),
    (b"// x\n{}", "a comment"),
    (b'{"a":1,"a":1}', "a key twice with one value"),
    (b'{"a":1,"b":{"c":1,"c":2}}', "a key twice deep inside"),
    (b'{"a":1,"\\u0061":2}', "a key twice, once escaped"),
    (b"NaN", "NaN"),
    (b'{"a":[Infinity]}', "infinity"),
    (b"-Infinity", "negative infinity"),
    (b"1e999", "a float that overflows"),
    (b"9223372036854775808", "one above 64 bits"),
    (b"-9223372036854775809", "one below 64 bits"),
    (b"1" * 5000, "an integer of 5,000 digits"),
    (b"01", "a leading zero"),
    (b"+1", "a plus sign"),
    (b".5", "a bare fraction"),
    (b'"\xff"', "not UTF-8"),
    (b'"\xed\xa0\x80"', "a surrogate written as bytes"),
    (b'"\xc0\xaf"', "an overlong slash"),
    (b"\xef\xbb\xbf{}", "a byte order mark"),
    ("{}".encode("utf-16"), "UTF-16"),
    (b'"\x00"', "a raw control character"),
    (rb'"\ud800"', "half a character"),
    (rb'{"\udc00":1}', "half a character in a key"),
    (rb'["\uDE00\uD83D"]', "halves in the wrong order"),
    (rb'"\ud83d\\ude00"', "a half before an escaped backslash"),
    (rb'"\x41"', "an escape that JSON does not have"),
    (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "one level too deep"),
    (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "objects one level too deep"),
    (b"[" * 2_000_000, "two million brackets"),
    (b"[" * 100_000 + b"]" * 100_000, "deeper than the parser can go"),
    (b'{"a":' * 100_000, "open objects"),
    (b"[" + b"0," * MAX_VALUES + b"0]", "too many numbers"),
    (b"[" + b"[]," * MAX_VALUES + b"0]", "too many lists"),
    (b'[,"' + b'\\"' * 1_000_000 + b"," * MAX_VALUES, "a text without end"),
]


@pytest.mark.parametrize("payload", [payload for payload, _ in BAD], ids=[why for _, why in BAD])
def test_ambiguous_or_hostile_json_is_refused(payload: bytes) -> None:
    """Whatever two parsers could read differently, or not at all, is MANIFEST_INVALID."""
    with pytest.raises(ManifestInvalid) as caught:
        loads(payload)

    assert len(caught.value.message) < 500
    assert caught.value.message.isascii()


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.booleans(),
)
def test_what_was_written_is_read(value: object, ascii_only: bool) -> None:  # noqa: FBT001
    """Any plain value survives writing and reading, escaped or not."""
    assert value == loads(json.dumps(value, ensure_ascii=ascii_only).encode())


@given(st.binary() | st.text('{}[]",:\\ud8NaI-+.e01 tru\ufeff').map(str.encode))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    """Bytes give what Python's own parser reads, or ManifestInvalid, nothing else."""
    try:
        value = loads(payload)
    except ManifestInvalid:
        return
    assert value == json.loads(payload)
