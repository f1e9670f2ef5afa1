# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of uploads: where a chunk must begin, how long it must be, how far we are.

The session, its bytes and its digest live in the content service. Invariant: a chunk is taken
only at the current offset, so that no retry, reordering or old URL can put bytes where they do not
belong.
"""

from __future__ import annotations

from moorage.spec.errors import RangeInvalid, SizeInvalid
from moorage.spec.ranges import parse_content_range


def expected_chunk(
    offset: int, content_range: str | None, content_length: int | None
) -> int | None:
    """How many bytes the body must have to go on at `offset`; None if nobody said.

    Without Content-Range the body is a stream that goes on wherever the upload is (end-5). With
    one, chunks must come in order: another beginning is refused with 416 and changes nothing,
    whether or not there is a Content-Length. The caller adds Location and Range to the refusal.
    """
    if content_range is None:
        return content_length
    chunk = parse_content_range(content_range)
    if chunk.start != offset:
        raise RangeInvalid(
            f"The chunk begins at byte {chunk.start} but the upload is at byte {offset}; "
            "continue from there."
        )
    if content_length is not None and content_length != chunk.length:
        raise SizeInvalid(
            f"Content-Range announces {chunk.length} bytes and Content-Length {content_length}; "
            "send the same in both."
        )
    return chunk.length


def range_header(offset: int) -> str:
    """The `Range` value of an upload that has `offset` bytes: the first and the last of them.

    Docker takes the last number plus one for the size of the layer. Nothing yet is `0-0` too:
    clients refuse a last byte before the first.
    """
    return f"0-{offset - 1}" if offset else "0-0"
