# SPDX-License-Identifier: Apache-2.0
"""JSON that every program reads alike, or a refusal.

Parsers differ on duplicate keys, NaN, huge numbers, lone surrogates and byte order marks; a
manifest that uses them could show one image to a scanner and another to the client. Such text is
refused here. What the document means is the business of `manifests`. Invariant: any bytes give a
value or `ManifestInvalid`, in bounded time and memory.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final, Never

from moorage.spec.errors import ManifestInvalid, quoted

# Real manifests nest 5 deep; 64 leaves room for annotations of others. Python's own parser ends at
# about 1,000, Go's at 10,000, so what passes here is read by all.
MAX_DEPTH: Final = 64

# 4 MiB of minimal descriptors hold 135,000 values. A client may send "[],[],…" instead, of which
# each three bytes become an object of 60; this keeps the parsed form of one manifest below 50 MB.
MAX_VALUES: Final = 512 * 1024

_INT64: Final = range(-(2**63), 2**63)
_MAX_INT64_TEXT: Final = 20

# Possessive, and content with a missing last quote: linear in time whatever the text.
_strings = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_surrogate_escape = re.compile(r"\\u[dD][89a-fA-F]").search


def loads(payload: bytes) -> object:
    """The one value that the bytes spell, or `ManifestInvalid`."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestInvalid(
            f"The manifest is not UTF-8: byte {error.start} is wrong; encode it as UTF-8."
        ) from None
    if text.startswith("\ufeff"):
        raise ManifestInvalid("The manifest begins with a byte order mark; leave it out.")
    if _values(text) > MAX_VALUES and _values(_strings.sub("", text)) > MAX_VALUES:
        raise ManifestInvalid(
            f"The manifest has more than {MAX_VALUES} values; split it into several."
        )
    value = _parse(text)
    # Each level needs a bracket, so nearly every manifest is done with counting two characters.
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(value)
    if _surrogate_escape(text) is not None:
        _check_surrogates(value)
    return value


def _values(text: str) -> int:
    """An upper bound of how many values the text can hold."""
    return text.count(",") + text.count("{") + text.count("[") + 1


def _parse(text: str) -> object:
    try:
        value: object = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise ManifestInvalid(
            f"The manifest is not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ManifestInvalid(
                    f"The manifest has the key {quoted(key)} twice in one object; keep one."
                )
            seen.add(key)
    return members


def _integer(text: str) -> int:
    number = int(text) if len(text) <= _MAX_INT64_TEXT else None
    if number is None or number not in _INT64:
        raise ManifestInvalid(f"The number {quoted(text)} in the manifest does not fit 64 bits.")
    return number


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ManifestInvalid(f"The number {quoted(text)} in the manifest is too large.")
    return number


def _constant(name: str) -> Never:
    raise ManifestInvalid(f"The manifest is not JSON: {name} is not a number; write null.")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_constant,
)


def _check_depth(value: object) -> None:
    """Refuse more than `MAX_DEPTH` containers inside each other, level by level."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for container in level:
            if isinstance(container, dict):
                below.extend(container.values())
            elif isinstance(container, list):
                below.extend(container)
        level = [child for child in below if isinstance(child, dict | list)]
        if not level:
            return
    raise _too_deep()


def _check_surrogates(value: object) -> None:
    """Refuse text that cannot be written as UTF-8; pairs were joined by the parser."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ManifestInvalid(
            r"The manifest escapes half a character (\ud800 to \udfff alone); write it whole."
        ) from None


def _too_deep() -> ManifestInvalid:
    return ManifestInvalid(f"The manifest is nested deeper than {MAX_DEPTH} levels; flatten it.")
