# SPDX-License-Identifier: Apache-2.0
"""A second address for a registry: connections to the IPv6 loopback go on to its own port.

Docker believes any certificate of a registry at 127.0.0.0/8; a registry reached by another address
shows whether it is checked. Bytes are passed on unchanged, in both directions, until either ends.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

import pytest

ADDRESS = "::1"
PIECE = 65536


class Relay:
    """Listens on the IPv6 loopback and connects each caller to a port of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.target = port
        try:
            self.listener = socket.create_server((ADDRESS, 0), family=socket.AF_INET6)
        except OSError as error:
            pytest.skip(f"no IPv6 loopback address: {error}")
        self.port: int = self.listener.getsockname()[1]
        self.threads: list[threading.Thread] = []
        self.open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self.listener)
        for end in list(self.open):
            _shut(end)
        for thread in list(self.threads):
            thread.join(10)

    def _start(self, work: object, *ends: socket.socket) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=ends, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return
            called = socket.create_connection(("127.0.0.1", self.target))
            self.open += [caller, called]
            self._start(self._pass_on, caller, called)
            self._start(self._pass_on, called, caller)

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
