# SPDX-License-Identifier: Apache-2.0
"""Opening the sockets a server listens on: addresses of IPv4 and IPv6, or one unix socket.

The first process opens them all, before anything else happens, and keeps them open: a port taken is
known at once, and a worker that dies leaves no client in a queue that is gone. Each worker has
listeners of its own on the same port (SO_REUSEPORT): from a shared one, measured, whoever wakes
first takes nearly all of a burst of connections, and one process does the work of all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.server.options import ServerOptions


class ListenError(Exception):
    """An address cannot be listened on; the message says which and why."""


Listeners = list[socket.socket]


def open_listeners(options: ServerOptions) -> list[Listeners]:
    """Listening, non-blocking sockets, a list for each worker; raises ListenError."""
    if options.unix_socket is not None:
        shared = _listen_unix(options.unix_socket, options.unix_mode, options.backlog)
        return [[shared]] * options.workers
    if options.workers == 1:
        return [_listen_everywhere(options, options.port, alone=True)]
    # alone first: with SO_REUSEPORT another server on this port would go unnoticed
    probe = _listen_everywhere(options, options.port, alone=True)
    port: int = probe[0].getsockname()[1]
    for listener in probe:
        listener.close()
    return [_listen_everywhere(options, port, alone=False) for _ in range(options.workers)]


def close_listeners(listeners: list[Listeners]) -> None:
    """Closes them in this process."""
    for group in listeners:
        for listener in group:
            listener.close()


def _listen_everywhere(options: ServerOptions, port: int, *, alone: bool) -> Listeners:
    listeners: Listeners = []
    try:
        for family, host in _addresses(options.host, port):
            listeners.append(_listen(family, host, port, options.backlog, alone=alone))
            port = listeners[0].getsockname()[1]  # the same free port for all addresses
    except OSError as error:
        close_listeners([listeners])
        where = f"{options.host or 'all interfaces'}, port {port}"
        raise ListenError(f"cannot listen on {where}: {_advice(error)}") from None
    return listeners


def addresses_of(listeners: Listeners, *, encrypted: bool) -> tuple[str, ...]:
    """The listeners as people write them."""
    scheme = "https" if encrypted else "http"
    written = []
    for listener in listeners:
        name = listener.getsockname()
        if listener.family == socket.AF_UNIX:
            written.append(f"{scheme}+unix:{name}")
        else:
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            written.append(f"{scheme}://{host}:{name[1]}")
    return tuple(written)


def _addresses(host: str, port: int) -> list[tuple[int, str]]:
    if not host:
        return [(socket.AF_INET6, "::")] if socket.has_dualstack_ipv6() else [(socket.AF_INET, "")]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _listen(family: int, host: str, port: int, backlog: int, *, alone: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not alone:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        listener.bind((host, port))
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _listen_unix(path: Path, mode: int, backlog: int) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(mode)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on the unix socket {path}: {_advice(error)}") from None
    return listener


def _remove_stale(path: Path) -> None:
    """Removes the socket of a server that is no more; refuses to touch anything else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ListenError(f"{path} exists and is no socket; remove it or choose another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                return
    raise ListenError(f"another server listens on the unix socket {path}")


def _advice(error: OSError) -> str:
    text = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        return f"{text}; stop the other server or choose another port"
    if error.errno == errno.EACCES:
        return f"{text}; ports below 1024 need privileges"
    return text
