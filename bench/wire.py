# SPDX-License-Identifier: Apache-2.0
"""A small blocking HTTP/1.1 client: one keep-alive connection, cheap enough not to be measured.

No redirects, no pooling, no retries: what a benchmark sends is exactly what its caller wrote.
Bodies from files go through the kernel's sendfile where there is no TLS.
"""

from __future__ import annotations

import mmap
import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

RECEIVE_BYTES = 1 << 18
TLS_PIECE_BYTES = 1 << 20
TIMEOUT_SECONDS = 120.0


class UnexpectedReplyError(Exception):
    """The server answered something that makes the measurement meaningless."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers with lower-case names, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def location(self) -> str:
        """The Location as a target on the same server; servers send it absolute or relative."""
        parts = urlsplit(self.headers["location"])
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def expect(self, *statuses: int) -> Reply:
        """This reply, when its status is one of those."""
        if self.status not in statuses:
            raise UnexpectedReplyError(
                f"expected {statuses}, got {self.status}: {self.body[:300]!r}"
            )
        return self


def with_query(target: str, query: str) -> str:
    """The target with one more query parameter."""
    return f"{target}{'&' if '?' in target else '?'}{query}"


class Connection:
    """One connection to a server on loopback."""

    def __init__(
        self,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname="localhost")
        common = {"Host": f"localhost:{port}", **(headers or {})}
        self._common = "".join(f"{name}: {value}\r\n" for name, value in common.items())
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """Send one request with a small body and read its whole reply."""
        fields = dict(headers or {})
        if body or method in ("POST", "PUT", "PATCH"):
            fields["Content-Length"] = str(len(body))
        self.send_head(method, target, fields, body)
        return self.read_reply(method)

    def send_head(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> None:
        """Send the request line and headers, with the body's first bytes in the same segment."""
        self.socket.sendall(self.head(method, target, headers) + body)

    def head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """The request line and headers as they go over the wire."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {target} HTTP/1.1\r\n{self._common}{fields}\r\n".encode()

    def send_file(self, descriptor: int, size: int) -> None:
        """Send the first `size` bytes of a file."""
        if isinstance(self.socket, ssl.SSLSocket):
            with (
                mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as view,
            ):
                for start in range(0, size, TLS_PIECE_BYTES):
                    with view[start : start + TLS_PIECE_BYTES] as piece:
                        self.socket.sendall(piece)
            return
        offset = 0
        self.socket.setblocking(True)
        while offset < size:
            offset += os.sendfile(self.socket.fileno(), descriptor, offset, size - offset)

    def read_head(self) -> tuple[int, dict[str, str]]:
        """Read status and headers; bytes of the body that came along stay in the buffer."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill()
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(lines[0].split(" ", 2)[1]), headers

    def read_reply(self, method: str) -> Reply:
        """Read one whole reply."""
        status, headers = self.read_head()
        if method == "HEAD" or status in (204, 304):
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return Reply(status, headers, self._read_chunked())
        return Reply(status, headers, self._take(int(headers.get("content-length", "0"))))

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes of body as they come."""
        while size > 0:
            if not self._buffer:
                self._fill()
            piece = self._take(min(size, len(self._buffer)))
            size -= len(piece)
            yield piece

    def drain(self, size: int) -> None:
        """Throw away `size` bytes of body in the kernel, without copying them here (no TLS)."""
        left = size - len(self._buffer)
        self._buffer.clear()
        scratch = bytearray(1 << 22)
        while left > 0:
            received = self.socket.recv_into(scratch, min(left, len(scratch)), socket.MSG_TRUNC)
            if not received:
                raise UnexpectedReplyError(f"connection closed with {left} bytes missing")
            left -= received

    def _fill(self) -> None:
        received = self.socket.recv(RECEIVE_BYTES)
        if not received:
            raise UnexpectedReplyError("connection closed inside a reply")
        self._buffer += received

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _read_chunked(self) -> bytes:
        body = bytearray()
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                self._fill()
            size = int(bytes(self._take(end + 2)).split(b";")[0], 16)
            body += self._take(size + 2)[:size]
            if size == 0:
                return bytes(body)
