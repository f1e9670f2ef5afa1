# SPDX-License-Identifier: Apache-2.0
"""Where a request's body ends (RFC 9112, 6 and 7): by its length, by its chunks, or before it
began.

A body takes the bytes that were received and gives back the part that belongs to it and the rest,
which begins the next request. It is `done` when it is whole and not one moment earlier: an upload
that was cut off must never look complete. No I/O; bytes with a known length are handed on as the
very object that was received.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from moorage.server.asgi import RefusedError

if TYPE_CHECKING:
    from moorage.server.request_head import Fields

_CHUNK_LINE_BYTES: Final = 1024
"""Size and extensions of one chunk. Nobody uses extensions; llhttp and Go allow a few KiB of
them."""

_TRAILER_BYTES: Final = 16384
"""All trailers of a body together; they are dropped."""

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")


class LengthBody:
    """A body of a known length, which may be zero."""

    __slots__ = ("done", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """The part of `data` that is body, and what follows it."""
        remaining = self.remaining
        if len(data) < remaining:
            self.remaining = remaining - len(data)
            return data, b""
        self.remaining, self.done = 0, True
        return (data, b"") if len(data) == remaining else (data[:remaining], data[remaining:])


class ChunkedBody:
    """A body in chunks, whose length shows at its end."""

    __slots__ = ("_chunk", "_line", "_trailers", "done")

    remaining: Final = None

    def __init__(self) -> None:
        self.done = False
        self._chunk: int | None = None
        """Bytes missing from the current chunk; -1 when only its CRLF is; None when a size comes
        next."""
        self._line = b""
        self._trailers: int | None = None

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """The part of `data` that is content, and what follows the body."""
        data = self._line + data if self._line else data
        self._line = b""
        pieces: list[memoryview] = []
        view, position, stop = memoryview(data), 0, len(data)
        while position < stop and not self.done:
            if self._chunk is not None and self._chunk > 0:
                piece = view[position : position + self._chunk]
                pieces.append(piece)
                position += len(piece)
                self._chunk = self._chunk - len(piece) or -1
                continue
            end = data.find(b"\r\n", position, position + _CHUNK_LINE_BYTES)
            if end < 0:
                self._keep(data[position:])
                position = stop
            else:
                self._read_line(data[position:end])
                position = end + 2
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return bytes(content), data[position:]

    def _keep(self, beginning: bytes) -> None:
        bare = beginning.find(b"\n") >= 0 or b"\r" in beginning[:-1]
        if bare or len(beginning) >= _CHUNK_LINE_BYTES:
            raise RefusedError(400, "the chunked body is malformed")
        self._line = beginning

    def _read_line(self, line: bytes) -> None:
        if self._trailers is not None:
            self._read_trailer(line)
        elif self._chunk == -1:
            if line:
                raise RefusedError(400, "a chunk is longer than its size says")
            self._chunk = None
        else:
            found = _CHUNK_LINE.fullmatch(line)
            if found is None:
                raise RefusedError(400, "the size of a chunk is malformed")
            size = int(found[1], 16)
            self._chunk = size or None
            self._trailers = None if size else 0

    def _read_trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailers = (self._trailers or 0) + len(line)
        if self._trailers > _TRAILER_BYTES or not _TRAILER.fullmatch(line):
            raise RefusedError(400, "the trailers of the chunked body are malformed or too large")


Body = LengthBody | ChunkedBody


def body_of(fields: Fields) -> Body:
    """The body that these header fields announce."""
    if fields.chunked:
        return ChunkedBody()
    return LengthBody(fields.content_length or 0)
