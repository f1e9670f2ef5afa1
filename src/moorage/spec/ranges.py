# SPDX-License-Identifier: Apache-2.0
"""Byte ranges: `Range` on downloads (end-2) and `Content-Range` on upload chunks (end-5, end-6).

The bytes are sent and counted elsewhere. Invariant: a `ByteRange` from `parse_range` lies within
the content and is not empty; what cannot be understood is ignored, as RFC 9110 allows, and never
answered with part of what was asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from moorage.spec.errors import RangeInvalid, quoted

# podman asks for a few dozen pieces of a zstd:chunked layer at once. More than this are served as
# the whole content; Apache's limit is 200, Go has none but the size rule below.
MAX_RANGES: Final = 64

# 20 digits hold every 64-bit number. More would be legal in a Range and only ever mean "the end".
_is_bytes_unit = re.compile(r"[ \t]*bytes[ \t]*", re.IGNORECASE).fullmatch
_is_range = re.compile(r"[ \t]*([0-9]{0,32})-([0-9]{0,32})[ \t]*").fullmatch
_is_content_range = re.compile(
    r"[ \t]*(?:bytes[ \t]+)?([0-9]{1,19})-([0-9]{1,19})(?:/(?:\*|([0-9]{1,19})))?[ \t]*",
    re.IGNORECASE,
).fullmatch


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes these are."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The `Content-Range` value of a reply with these bytes of content that has `size`."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_range(header: str | None, size: int) -> tuple[ByteRange, ...] | None:
    """The ranges to serve of content with `size` bytes; None for all of it.

    `RangeInvalid` if the header is understood and nothing of it lies within the content. An empty
    content has no part that could be named, so it is served whole, as Go's file server does.
    """
    if header is None or size == 0:
        return None
    unit, equals, listed = header.partition("=")
    if not equals or _is_bytes_unit(unit) is None:
        return None
    if "," in listed:
        return _several(listed, size)
    match = _is_range(listed)
    if match is None or match[0].strip() == "-":
        return None
    found = _within(match, size)
    if found is None:
        raise _outside(size)
    return (found,)


def parse_content_range(header: str) -> ByteRange:
    """The place of a chunk: `a-b` as the specification has it, or HTTP's `bytes a-b/total`."""
    match = _is_content_range(header)
    if match is None:
        raise RangeInvalid(
            f"Content-Range {quoted(header)} is not understood; write first-last, for example 0-99."
        )
    start, last = int(match[1]), int(match[2])
    if last < start or (match[3] is not None and last >= int(match[3])):
        raise RangeInvalid(
            f"Content-Range {quoted(header)} contradicts itself; the first byte must not come "
            "after the last, nor the last after the total."
        )
    return ByteRange(start, last + 1)


def _several(listed: str, size: int) -> tuple[ByteRange, ...] | None:
    if listed.count(",") >= MAX_RANGES:
        return None
    found: list[ByteRange] = []
    asked = 0
    for text in listed.split(","):
        if not text.strip(" \t"):
            continue
        match = _is_range(text)
        if match is None or match[0].strip() == "-":
            return None
        asked += 1
        piece = _within(match, size)
        if piece is not None:
            found.append(piece)
    if not asked:
        return None
    if not found:
        raise _outside(size)
    # Overlaps that add up to more than the content are an attack or a mistake; Go does the same.
    if sum(piece.length for piece in found) > size:
        return None
    return tuple(found)


def _within(match: re.Match[str], size: int) -> ByteRange | None:
    """The part that lies within the content, if any."""
    first, last = match[1], match[2]
    if not first:
        length = min(int(last), size)
        return ByteRange(size - length, size) if length else None
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    return ByteRange(start, stop) if start < stop else None


def _outside(size: int) -> RangeInvalid:
    return RangeInvalid(
        f"No part of the range lies within the {size} bytes of the content.",
        headers=(("Content-Range", f"bytes */{size}"),),
    )
