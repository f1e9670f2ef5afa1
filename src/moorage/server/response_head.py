# SPDX-License-Identifier: Apache-2.0
"""The head of a response: status line, fields, and how the body will be delimited.

Framing is decided here and nowhere else: the application's Content-Length counts, otherwise chunks,
otherwise (to HTTP/1.0) the end of the connection; HEAD, 204 and 304 have no body. A line break in a
field is a refused response, so no value can smuggle a second one in.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_CONTENT: Final = 204
NOT_MODIFIED: Final = 304

_OURS: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date"))
_PHRASES: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


_ACRONYMS: Final = {
    word.lower(): word for word in (b"API", b"ETag", b"OCI", b"TE", b"UUID", b"WWW")
}

ResponseHead = tuple[bytes, int | None, bool, bool]
"""The bytes to send; how much content follows (None: in chunks or until the end of the connection);
whether in chunks; whether the connection stays open."""


def preamble(status: int, now: float) -> bytes:
    """Status line and Date, to which the fields of the response are added."""
    phrase = _PHRASES.get(status, b"")
    return b"HTTP/1.1 %d %b\r\nDate: %b" % (
        status,
        phrase,
        formatdate(now, usegmt=True).encode(),
    )


@lru_cache(maxsize=256)  # an application has some dozen of them
def spelled(name: bytes) -> bytes:
    """A field's name as people write it.

    Names mean the same in any case, but scripts look for `Docker-Content-Digest` with grep.
    """
    return b"-".join(_ACRONYMS.get(part, part.capitalize()) for part in name.split(b"-"))


def response_head(
    opening: bytes,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    bodyless: bool,
    version: str,
    keep_alive: bool,
) -> ResponseHead:
    """The head for `status` and `headers`; `opening` comes from `preamble`."""
    lines = []
    length: int | None = None
    for name, value in headers:  # names are in lower case: ASGI says so
        if name in _OURS:
            if name == b"content-length":
                length = int(value) if status != NO_CONTENT else None
            elif name == b"connection" and b"close" in value.lower():
                keep_alive = False
        else:
            lines.append(b"%b: %b" % (spelled(name), value))
    chunked = False
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    elif not bodyless:
        chunked = version == "1.1"
        keep_alive = keep_alive and chunked
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
    if not keep_alive:
        lines.append(b"Connection: close")
    together = b"".join(lines)
    if b"\n" in together or b"\r" in together or b"\0" in together:
        raise ValueError("a header of the response contains a line break or a zero byte")
    data = b"\r\n".join((opening, *lines, b"\r\n"))
    return data, 0 if bodyless else length, chunked, keep_alive


def short_response(status: int, text: str) -> bytes:
    """A whole response of the server itself, after which the connection is closed."""
    content = text.encode("utf-8") + b"\n"
    return b"HTTP/1.1 %d %b\r\n%b: %b\r\n%b: %d\r\n%b: close\r\n\r\n%b" % (
        status,
        _PHRASES.get(status, b""),
        b"Content-Type",
        b"text/plain; charset=utf-8",
        b"Content-Length",
        len(content),
        b"Connection",
        content,
    )
