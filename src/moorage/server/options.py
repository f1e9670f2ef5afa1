# SPDX-License-Identifier: Apache-2.0
"""What a server can be told: where to listen, how many processes, which bounds.

Only values live here. Each bound has a reason and a precedent, because a server without them is
stopped by one patient stranger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

AddressesCallback = Callable[[tuple[str, ...]], None]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds on one connection and on their number."""

    header_bytes: int = 32768
    """Request line and fields together: tokens make large fields (nginx allows 4 x 8 KiB, Apache 8
    KiB a line)."""

    request_line_bytes: int = 8192
    """A name of 255 characters, a digest and a page marker fit many times (RFC 9112 recommends
    8000)."""

    header_seconds: float = 30.0
    """From the opened connection, or from a request's first byte, to the end of its head (Apache:
    20 to 40 s)."""

    idle_seconds: float = 120.0
    """Between two requests. Clients written in Go keep idle connections for up to 90 s: outlive
    them."""

    body_seconds: float = 60.0
    """Without one byte of a request arriving or of a response being taken (nginx: 60 s)."""

    connections: int = 10_000
    """Open at once, in one process. Beyond it idle ones are closed, then new ones wait in the
    kernel."""


@dataclass(frozen=True, slots=True)
class TLSOptions:
    """Certificate and key in PEM, as people have them; both are read again when the files
    change.
    """

    certificate: Path
    key: Path | None = None
    """None when the key stands in the certificate's file."""

    client_authorities: tuple[Path, ...] = ()
    """When given, a client must show a certificate signed by one of these."""

    minimum_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str | None = None
    """An OpenSSL cipher list for TLS 1.2; the suites of TLS 1.3 are all good and not selectable."""

    reload_seconds: float = 5.0
    """How often the files are looked at."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Everything `serve` needs to know."""

    host: str = "127.0.0.1"
    """A name or address; empty for all interfaces, IPv6 included where the machine has it."""

    port: int = 5000
    """0 for any free port; `on_ready` tells which."""

    unix_socket: Path | None = None
    """Listen here instead of on host and port."""

    unix_mode: int = 0o660
    """Who may connect to the unix socket: owner and group, as gunicorn's and php-fpm's users set
    it."""

    workers: int = 1
    tls: TLSOptions | None = None
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    drain_seconds: float = 60.0
    """How long requests in flight may go on after SIGTERM."""

    drain_delay: float = 0.0
    """How long new connections are still accepted after SIGTERM, until whoever sends them here has
    seen that `ServerCondition.draining` is true."""

    backlog: int = 1024
    """Connections the kernel keeps waiting; it applies net.core.somaxconn (4096) as its own
    bound."""

    on_ready: AddressesCallback | None = None
    """Called once with the addresses when requests are being answered."""
