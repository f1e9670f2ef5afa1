# SPDX-License-Identifier: Apache-2.0
"""The two ways bytes reach a client: a plain socket, and TLS over one.

Both are used the same way and never wait: `recv` and `send` move what can be moved now and raise
BlockingIOError when that is nothing; any other OSError means that the connection is over. The
kernel's socket buffers are the only queues, so that memory stays bounded by construction; TLS adds
at most one piece of ciphertext, `pending`, that the socket would not take yet.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Final, cast

_RECORD_BYTES: Final = 16384
"""The most plaintext that one TLS record carries (RFC 8446, 5.1)."""

_CIPHERTEXT_BYTES: Final = 256 * 1024
"""Read from the socket at once: 64 KiB cost a tenth more CPU."""

_SEND_BYTES: Final = 256 * 1024
"""Encrypted at once, in one write to the socket instead of one for each record."""

_HANDSHAKE_RECORD: Final = 22


class NotTLSError(ConnectionError):
    """Something else, most likely plain HTTP, arrived where TLS was expected."""


class HandshakeError(ConnectionError):
    """Client and server could not agree; the client has been told why."""


class PlainChannel:
    """A non-blocking socket as it is."""

    __slots__ = ("recv", "send", "socket")

    encrypted: Final = False
    pending: Final = b""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.recv = connected.recv
        self.send = connected.send

    def flush(self) -> None:
        """Nothing is ever kept back."""

    def finish_sending(self) -> None:
        """Tells the client that nothing more comes, while still listening to it."""
        self.socket.shutdown(socket.SHUT_WR)


class TLSBuffers:
    """Working memory that all TLS connections of a loop share: one use ends before the next."""

    __slots__ = ("ciphertext", "plaintext")

    def __init__(self) -> None:
        self.ciphertext = memoryview(bytearray(_CIPHERTEXT_BYTES))
        # shorter than its ciphertext, but an unfinished record of the last time joins it
        self.plaintext = memoryview(bytearray(_CIPHERTEXT_BYTES + 2 * _RECORD_BYTES))


class TLSChannel:
    """TLS through two memory buffers: half the CPU of an upload through uvloop's own TLS."""

    __slots__ = (
        "_buffers",
        "_established",
        "_greeted",
        "_incoming",
        "_outgoing",
        "_tls",
        "pending",
        "socket",
    )

    encrypted: Final = True

    def __init__(
        self, connected: socket.socket, context: ssl.SSLContext, buffers: TLSBuffers
    ) -> None:
        self.socket = connected
        self.pending: bytes | memoryview = b""
        self._buffers = buffers
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self._greeted = False

    def recv(self, _: int) -> bytes:
        """What has arrived, empty when the client will send no more; does the handshake first."""
        if not self._established:
            self._shake_hands()
            if (data := self._decrypt()) is not None:
                return data
        while True:
            if not self._read_ciphertext():
                return b""
            if (data := self._decrypt()) is not None:
                return data

    def send(self, data: bytes | memoryview) -> int:
        """Encrypts the beginning of `data`, says how much that was, and sends what it can."""
        if self.pending:
            self.flush()
        if not data:
            return 0
        count = self._tls.write(memoryview(data)[:_SEND_BYTES])
        self._push()
        return count

    def flush(self) -> None:
        """Sends all ciphertext that was kept back, or raises BlockingIOError."""
        while self.pending:
            sent = self.socket.send(self.pending)
            self.pending = memoryview(self.pending)[sent:]

    def finish_sending(self) -> None:
        """Says goodbye in TLS and in TCP, while still listening."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        with contextlib.suppress(BlockingIOError):
            self._push()
        self.socket.shutdown(socket.SHUT_WR)

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._push()
                if not self._read_ciphertext():
                    raise ConnectionResetError("closed during the TLS handshake") from None
            except ssl.SSLError as error:
                self._push()  # the alert that tells the client why
                raise HandshakeError(f"the TLS handshake failed: {error.reason}") from None
            else:
                self._established = True
                self._push()
                return

    def _read_ciphertext(self) -> int:
        count = self.socket.recv_into(self._buffers.ciphertext)
        received = self._buffers.ciphertext[:count]
        if not self._greeted and count:
            self._greeted = True
            if received[0] != _HANDSHAKE_RECORD:
                raise NotTLSError
        self._incoming.write(received)
        return count

    def _decrypt(self) -> bytes | None:
        """All complete plaintext; empty at the end of the stream, None for half a record."""
        filled, finished = 0, False
        plaintext = self._buffers.plaintext
        try:
            while self._incoming.pending or self._tls.pending():
                read = self._tls.read(_RECORD_BYTES, plaintext[filled:])
                count = cast("int", read)  # the stubs know the form without a buffer only
                if not count:  # close_notify: the client said that it sends no more
                    finished = True
                    break
                filled += count
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            finished = True
        except ssl.SSLError as error:
            raise ConnectionAbortedError(f"TLS failed: {error.reason}") from None
        if self._outgoing.pending:
            with contextlib.suppress(BlockingIOError):
                self._push()
        return bytes(plaintext[:filled]) if filled or finished else None

    def _push(self) -> None:
        """Moves new ciphertext to the socket; what it does not take stays pending."""
        if not self._outgoing.pending:
            return
        fresh = self._outgoing.read()
        self.pending = b"".join((self.pending, fresh)) if self.pending else fresh
        with contextlib.suppress(BlockingIOError):
            self.flush()


Channel = PlainChannel | TLSChannel
