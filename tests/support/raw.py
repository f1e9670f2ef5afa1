# SPDX-License-Identifier: Apache-2.0
"""Requests as bytes on a socket, for what no HTTP library would send.

Where `Wire` speaks correct HTTP, this speaks whatever the test writes, byte by byte if need be.
Answers are read strictly: a header or a body that breaks the framing fails the test.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from typing import TYPE_CHECKING, Self

from tests.support.wire import Answer, Headers

if TYPE_CHECKING:
    from collections.abc import Iterable

PIECE = 64 * 1024


class Closed(Exception):
    """The server closed the connection, with or without a reset, before an answer was complete."""


def request_bytes(
    method: str, target: str, *headers: tuple[str, str], body: bytes = b"", host: str = "registry"
) -> bytes:
    """A request as it goes over the wire; nothing is added but Host."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{key}: {value}" for key, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class RawConnection:
    """One TCP connection to a server."""

    def __init__(self, port: int, *, seconds: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send bytes; a server that has hung up already is no error here, but at reading."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def drip(self, pieces: Iterable[bytes], seconds: float) -> bool:
        """Send pieces with a pause after each; False once the server answers or hangs up."""
        for piece in pieces:
            try:
                self.socket.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                return False
            readable, _, _ = select.select([self.socket], [], [], seconds)
            if readable:
                return False
        return True

    def finish_sending(self) -> None:
        """Close the sending half only."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Hang up with a TCP reset instead of an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def answer(self, *, method: str = "GET") -> Answer:
        """The next answer, interim ones (1xx) left out."""
        while True:
            answer = self.any_answer(method=method)
            if answer.status >= 200:
                return answer

    def any_answer(self, *, method: str = "GET") -> Answer:
        """The next answer, be it an interim one."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        assert version in {"HTTP/1.1", "HTTP/1.0"}, first
        status = int(rest[:3])
        pairs = [line.split(":", 1) for line in lines]
        headers = Headers([(key, value.strip()) for key, value in pairs])
        if status < 200 or status in {204, 304} or method == "HEAD":
            return Answer(status, headers, b"")
        return Answer(status, headers, self._body(headers))

    def until_closed(self) -> bytes:
        """Everything that still comes; Closed is not raised, a server that never hangs up fails."""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.socket.recv(PIECE):
                self._received += piece
        rest, self._received = self._received, b""
        return rest

    def is_closed(self) -> bool:
        """Whether the server hangs up without another byte."""
        return self.until_closed() == b""

    def _body(self, headers: Headers) -> bytes:
        if (length := headers.get("Content-Length")) is not None:
            return self._exactly(int(length))
        if headers.get("Transfer-Encoding") != "chunked":
            return self.until_closed()
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        assert self._until(b"\r\n") == b""
        return body

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            self._more()
        found, _, self._received = self._received.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._more()
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _more(self) -> None:
        try:
            piece = self.socket.recv(PIECE)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Closed(f"hung up after {self._received!r}")
        self._received += piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
