# SPDX-License-Identifier: Apache-2.0
"""Where a server listens: addresses, both families, unix sockets, and what is in the way."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from moorage.server.listening import ListenError, addresses_of, close_listeners, open_listeners
from moorage.server.options import ServerOptions
from tests.server.running import echo, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moorage.server.asgi import Receive, Scope, Send


@pytest.fixture
def path() -> Iterator[Path]:
    """A path for a unix socket, short enough for the kernel."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "socket"


def bound(options: ServerOptions) -> list[tuple[int, object]]:
    """Family and name of each listener that the options open."""
    [listeners] = open_listeners(options)
    try:
        return [(listener.family, listener.getsockname()) for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def test_loopback() -> None:
    """A free port of one address."""
    [(family, name)] = bound(ServerOptions(port=0))

    assert family == socket.AF_INET
    assert isinstance(name, tuple)
    assert name[0] == "127.0.0.1"
    assert name[1] > 0


def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address of a name is listened on, all at the same port."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    names = [name for _, name in bound(ServerOptions(host="both", port=0))]

    assert [name[0] for name in names if isinstance(name, tuple)] == ["127.0.0.1", "127.0.0.2"]
    assert len({name[1] for name in names if isinstance(name, tuple)}) == 1


def test_all_interfaces() -> None:
    """An empty host means both families, where the machine has both."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    [listeners] = open_listeners(ServerOptions(host="", port=0))
    port = listeners[0].getsockname()[1]
    for address in ("127.0.0.1", "::1"):
        try:
            socket.create_connection((address, port), timeout=20).close()
        except OSError as error:
            pytest.skip(f"no loopback of this family: {error}")
        finally:
            if address == "::1":
                listeners[0].close()


def test_taken_port() -> None:
    """A port that is taken is named, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port}: .*in use; stop the other server"):
            open_listeners(ServerOptions(port=port))


@pytest.mark.parametrize("workers", [1, 2])
def test_listeners_of_several_workers(workers: int) -> None:
    """Workers listen beside each other, and a second server still cannot."""
    groups = open_listeners(ServerOptions(port=0, workers=2))
    port = groups[0][0].getsockname()[1]
    try:
        assert [listener.getsockname()[1] for [listener] in groups] == [port, port]
        with pytest.raises(ListenError, match="in use"):
            open_listeners(ServerOptions(port=port, workers=workers))
    finally:
        close_listeners(groups)


def test_unknown_host() -> None:
    """A host that is none is named."""
    with pytest.raises(ListenError, match="cannot listen on not an address, port 1"):
        open_listeners(ServerOptions(host="not an address", port=1))


def test_addresses_as_people_write_them(path: Path) -> None:
    """Schemes, brackets and paths as in an address bar."""
    [listeners] = open_listeners(ServerOptions(port=0))
    listeners += open_listeners(ServerOptions(unix_socket=path))[0]
    port = listeners[0].getsockname()[1]
    try:
        assert addresses_of(listeners, encrypted=True) == (
            f"https://127.0.0.1:{port}",
            f"https+unix:{path}",
        )
    finally:
        for listener in listeners:
            listener.close()


def test_unix_socket(path: Path) -> None:
    """Requests over a unix socket; there is no client address to tell."""
    clients: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        clients.append((scope["client"], scope["server"]))
        await echo(scope, receive, send)

    with running(app, options=ServerOptions(unix_socket=path, unix_mode=0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.recv(65536).endswith(b"GET /a ")

    assert clients == [(None, None)]


def test_stale_unix_socket(path: Path) -> None:
    """The socket that a killed server left behind is replaced."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.exists()

    assert len(bound(ServerOptions(unix_socket=path))) == 1


def test_unix_socket_in_use(path: Path) -> None:
    """A socket that somebody listens on is left alone."""
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        with pytest.raises(ListenError, match="another server listens"):
            open_listeners(ServerOptions(unix_socket=path))
    assert path.exists()


def test_something_else_at_the_path(path: Path) -> None:
    """A file that is no socket is never removed."""
    path.write_text("precious")
    with pytest.raises(ListenError, match="is no socket"):
        open_listeners(ServerOptions(unix_socket=path))

    assert path.read_text() == "precious"


def test_unix_socket_in_a_missing_folder(path: Path) -> None:
    """A path that cannot be is named with the reason."""
    with pytest.raises(ListenError, match=os.strerror(2)):
        open_listeners(ServerOptions(unix_socket=path / "deeper"))
