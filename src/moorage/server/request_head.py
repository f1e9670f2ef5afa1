# SPDX-License-Identifier: Apache-2.0
"""The grammar of a request's head (RFC 9112), strict: what is not exactly allowed is refused.

Two servers that read the same bytes differently can be played against each other. So nothing is
repaired here: no folded lines, no bare line feeds, no space before a colon, no second
Content-Length, no Content-Length next to Transfer-Encoding. Bytes in, values out; no I/O. The body
is the business of `request_body`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from moorage.server.asgi import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_ORIGIN_FORM: Final = re.compile(rb"(%b) (/[!\"$->@-~]*)(?:\?([!\"$-~]*))? HTTP/1\.([01])" % _TOKEN)
_OTHER_FORM: Final = re.compile(
    rb"(%b) (?:\*|https?://[^/?#\s]+(/[!\"$->@-~]*)?(?:\?([!\"$-~]*))?) HTTP/1\.([01])" % _TOKEN,
    re.IGNORECASE,
)
_ANY_VERSION: Final = re.compile(rb"%b [!-~]+ HTTP/[0-9]\.[0-9]" % _TOKEN)
_TOKEN_ONLY: Final = re.compile(_TOKEN)
_VALUE_BYTES: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_COMMON_NAMES: Final[Mapping[bytes, bytes]] = {
    written: name.lower().encode()
    for name in (
        "Host", "User-Agent", "Accept", "Accept-Encoding", "Authorization", "Connection",
        "Content-Length", "Content-Type", "Content-Range", "Transfer-Encoding", "Expect", "Range",
    )
    for written in (name.encode(), name.lower().encode())
}  # fmt: skip
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_HOST: Final = re.compile(rb"[!$&'()*+,;=0-9A-Za-z.\-_~%:\[\]]*")

Header = tuple[bytes, bytes]


RequestLine = tuple[str, str, bytes, bytes, str]
"""Method, decoded path, path as sent, query, version: a plain tuple, made for every request."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The header fields, and what they say about framing."""

    headers: tuple[Header, ...]
    content_length: int | None
    chunked: bool
    expects_continue: bool
    close: bool
    hosts: int


def parse_request_line(data: bytes, stop: int) -> RequestLine:
    """The request line, which ends before `stop`."""
    found = _ORIGIN_FORM.fullmatch(data, 0, stop)
    if found is None:
        return _unusual_request_line(data[:stop])
    method, path, query, minor = found.groups(b"")
    version = "1.1" if minor == b"1" else "1.0"
    return method.decode("ascii"), _decode(path), path, query, version


def _unusual_request_line(line: bytes) -> RequestLine:
    found = _OTHER_FORM.fullmatch(line)
    if found is None:
        if _ANY_VERSION.fullmatch(line) and b" HTTP/1." not in line:
            raise RefusedError(400, "this server speaks HTTP/1.1 only")
        raise RefusedError(400, "the request line is malformed")
    method, path, query, minor = found.groups(b"")
    path = path or b"/"
    return method.decode("ascii"), _decode(path), path, query, f"1.{minor.decode()}"


def _decode(path: bytes) -> str:
    if b"%" not in path:
        return path.decode("ascii")
    return unquote_to_bytes(path).decode("utf-8", "replace")


def parse_fields(block: bytes) -> Fields:
    """The header fields of one head: lines joined by CRLF, without the empty line."""
    if block.translate(None, _VALUE_BYTES) != b"\r\n" * block.count(b"\r\n"):
        raise RefusedError(400, "a header field contains a byte that is not allowed")
    headers: list[Header] = []
    for line in block.split(b"\r\n") if block else ():
        name, colon, value = line.partition(b":")
        lowered = _COMMON_NAMES.get(name) or _lower(name)
        if not colon:
            raise RefusedError(400, "a header field has no colon")
        headers.append((lowered, value.strip(b" \t")))
    return _framing(tuple(headers))


def _lower(name: bytes) -> bytes:
    if not _TOKEN_ONLY.fullmatch(name):
        raise RefusedError(400, "the name of a header field is malformed")
    return name.lower()


def _framing(headers: tuple[Header, ...]) -> Fields:
    length: int | None = None
    chunked = expects = close = False
    hosts = 0
    for name, value in headers:
        if name == b"content-length":
            length = _content_length(value, again=length is not None)
        elif name == b"transfer-encoding":
            chunked = _chunked(value, again=chunked)
        elif name == b"expect":
            expects = _expects_continue(value)
        elif name == b"connection":
            close = close or b"close" in [item.strip() for item in value.lower().split(b",")]
        elif name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise RefusedError(400, "the Host field is malformed")
    if chunked and length is not None:
        raise RefusedError(400, "Content-Length and Transfer-Encoding exclude each other")
    return Fields(headers, length, chunked, expects, close, hosts)


def _content_length(value: bytes, *, again: bool) -> int:
    if again or not _LENGTH.fullmatch(value):
        raise RefusedError(400, "Content-Length must be one decimal number, given once")
    return int(value)


def _chunked(value: bytes, *, again: bool) -> bool:
    if again:
        raise RefusedError(400, "Transfer-Encoding must be given once")
    if value.lower() != b"chunked":
        raise RefusedError(400, "the only supported Transfer-Encoding is chunked")
    return True


def _expects_continue(value: bytes) -> bool:
    if value.lower() != b"100-continue":
        raise RefusedError(417, "the only supported expectation is 100-continue")
    return True


def check_together(version: str, fields: Fields) -> None:
    """The rules that need both the request line and the fields."""
    if fields.hosts > 1 or (fields.hosts == 0 and version == "1.1"):
        # RFC 9112, 3.2: 400 to any HTTP/1.1 request that lacks a Host field or has more than one
        raise RefusedError(400, "exactly one Host field is required")
    if fields.chunked and version == "1.0":
        raise RefusedError(400, "HTTP/1.0 has no Transfer-Encoding")


def check_beginning(data: bytes, *, header_bytes: int, request_line_bytes: int) -> None:
    """Refuses an unfinished head that can no longer become an acceptable one."""
    newline = data.find(b"\n")
    if newline < 0 and len(data) > request_line_bytes:
        raise RefusedError(414, f"the request line is longer than {request_line_bytes} bytes")
    if len(data) > header_bytes:
        raise RefusedError(431, f"the request's head is larger than {header_bytes} bytes")
    if newline >= 0:
        ended_well = data[newline - 1 : newline] == b"\r"
        parse_request_line(data, newline - 1 if ended_well else newline + 1)
    elif not _TOKEN_ONLY.match(data):
        raise RefusedError(400, "this is not HTTP")
