# SPDX-License-Identifier: Apache-2.0
"""TLS: every form of PEM, refusals, client certificates, reloading, and plain HTTP on its port."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from moorage.server.options import ConnectionLimits, ServerOptions, TLSOptions
from moorage.server.tls import Certificates, TLSError, build_context
from tests.server.certificates import Authority, make_authority, openssl
from tests.server.running import Running, echo, running
from tests.support.raw import RawConnection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
MEGABYTE = 1 << 20


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A fresh authority."""
    return make_authority(tmp_path)


def options(tls: TLSOptions, limits: ConnectionLimits | None = None) -> ServerOptions:
    """Options for a server with these TLS options."""
    return ServerOptions(port=0, tls=tls, limits=limits or ConnectionLimits())


def client_context(authority: Authority) -> ssl.SSLContext:
    """A client that trusts the authority."""
    context = ssl.create_default_context(cafile=authority.certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@contextlib.contextmanager
def connected(server: Running, context: ssl.SSLContext) -> Iterator[RawConnection]:
    """A TLS connection; `raw.socket` is an SSLSocket."""
    raw = RawConnection(server.port)
    try:
        raw.socket = context.wrap_socket(raw.socket, server_hostname="localhost")
        yield raw
    finally:
        raw.socket.close()


def test_requests(authority: Authority) -> None:
    """Requests, large bodies both ways and keep-alive work as without TLS; ALPN says http/1.1."""
    tls = TLSOptions(*authority.issue("localhost"))
    content = os.urandom(3 * MEGABYTE)
    with (
        running(echo, options=options(tls)) as server,
        connected(server, client_context(authority)) as raw,
    ):
        assert isinstance(raw.socket, ssl.SSLSocket)
        assert raw.socket.selected_alpn_protocol() == "http/1.1"
        assert raw.socket.version() == "TLSv1.3"
        for _ in range(3):
            raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(content))
            raw.send(content)
            assert raw.answer().body == b"PUT /a " + content
            raw.send(GET)
            assert raw.answer().body == b"GET /a "


def test_end_of_stream(authority: Authority) -> None:
    """The end of a connection is a proper end in TLS, too."""
    tls = TLSOptions(*authority.issue("localhost"))
    context = client_context(authority)
    with running(echo, options=options(tls)) as server, connected(server, context) as raw:
        raw.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert raw.answer().status == 200
        assert raw.socket.recv(1) == b""


def test_byte_by_byte(authority: Authority) -> None:
    """Records that arrive in crumbs are put together."""
    tls = TLSOptions(*authority.issue("localhost"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with running(echo, options=options(tls)) as server:
        raw = RawConnection(server.port)
        raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b""
        greeted = False
        while not answer:
            try:
                if not greeted:
                    client.do_handshake()
                    greeted = True
                    client.write(GET)
                answer = client.read()
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    raw.socket.sendall(bytes([byte]))
                incoming.write(raw.socket.recv(65536))
        raw.socket.close()

    assert answer.endswith(b"GET /a ")


def key_pkcs1(authority: Authority) -> Path:
    """An RSA key in PKCS#1."""
    path = authority.folder / "pkcs1.key"
    key = authority.make_key("rsa.key", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    openssl("rsa", "-in", key, "-traditional", "-out", path)
    assert b"BEGIN RSA PRIVATE KEY" in path.read_bytes()
    return path


def key_pkcs8(authority: Authority) -> Path:
    """An RSA key in PKCS#8."""
    return authority.make_key("pkcs8.key", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


def key_ec(authority: Authority) -> Path:
    """An EC key in its traditional form, with the parameters in front as openssl writes them."""
    path = authority.folder / "ec.key"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", path)
    assert b"BEGIN EC PARAMETERS" in path.read_bytes()
    return path


def key_ed25519(authority: Authority) -> Path:
    """An Ed25519 key."""
    return authority.make_key("ed25519.key", "-algorithm", "ED25519")


@pytest.mark.parametrize("make", [key_pkcs1, key_pkcs8, key_ec, key_ed25519])
@pytest.mark.parametrize("one_file", [False, True])
def test_forms_of_keys(authority: Authority, make: object, *, one_file: bool) -> None:
    """Every usual form of key works, in a file of its own or in the certificate's."""
    assert callable(make)
    certificate, key = authority.issue("localhost", key=make(authority))
    tls = TLSOptions(certificate, key)
    if one_file:
        both = authority.folder / "both.pem"
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        tls = TLSOptions(both)
    with (
        running(echo, options=options(tls)) as server,
        connected(server, client_context(authority)) as raw,
    ):
        raw.send(GET)
        assert raw.answer().status == 200


def test_messages_of_refusals(authority: Authority) -> None:
    """Files that cannot be used are refused with the file's name and the reason."""
    certificate, key = authority.issue("localhost")
    _, other_key = authority.issue("other")
    locked = authority.folder / "locked.key"
    openssl("pkey", "-in", key, "-aes128", "-passout", "pass:x", "-out", locked)
    nonsense = authority.folder / "nonsense"
    nonsense.write_text("nothing")
    missing = authority.folder / "missing"
    cases = {
        "belongs to another certificate": TLSOptions(certificate, other_key),
        "is encrypted": TLSOptions(certificate, locked),
        "no usable PEM": TLSOptions(nonsense, key),
        "cannot read .*missing": TLSOptions(certificate, missing),
        "client authority .*nonsense": TLSOptions(certificate, key, (nonsense,)),
        "knows no cipher": TLSOptions(certificate, key, ciphers="tea"),
    }
    for words, tls in cases.items():
        with pytest.raises(TLSError, match=words):
            build_context(tls)


def test_minimum_version_and_ciphers(authority: Authority) -> None:
    """Older versions are refused, and the cipher list holds."""
    pair = authority.issue("localhost")
    old = client_context(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with running(echo, options=options(TLSOptions(*pair, minimum_version="1.3"))) as server:
        with pytest.raises(ssl.SSLError), connected(server, old):
            pass
        with connected(server, client_context(authority)) as raw:
            raw.send(GET)
            assert raw.answer().status == 200
    cipher = "ECDHE-ECDSA-AES256-GCM-SHA384"
    tls = TLSOptions(*pair, ciphers=cipher)
    with running(echo, options=options(tls)) as server, connected(server, old) as raw:
        assert isinstance(raw.socket, ssl.SSLSocket)
        assert (raw.socket.cipher() or ("",))[0] == cipher
        raw.send(GET)
        assert raw.answer().status == 200


def test_client_authorities(authority: Authority) -> None:
    """With client authorities a certificate of one of them is required."""
    tls = TLSOptions(*authority.issue("localhost"), client_authorities=(authority.certificate,))
    known = client_context(authority)
    known.load_cert_chain(*authority.issue("client"))
    with running(echo, options=options(tls)) as server:
        with connected(server, known) as raw:
            raw.send(GET)
            assert raw.answer().status == 200
        with (
            pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"),
            connected(server, client_context(authority)) as raw,
        ):
            exchange(raw.socket)


def exchange(connection: socket.socket) -> bytes:
    """One request and what comes of it."""
    connection.sendall(GET)
    return connection.recv(1000)


@pytest.mark.parametrize("first", [GET, b"P", b"\x00\x01\x02"])
def test_plain_http(authority: Authority, first: bytes) -> None:
    """Plain HTTP on the port gets a plain answer that says what to do."""
    tls = TLSOptions(*authority.issue("localhost"))
    with running(echo, options=options(tls)) as server:
        raw = RawConnection(server.port)
        raw.send(first)
        answer = raw.answer()
        assert answer.status == 400
        assert b"https" in answer.body
        assert raw.is_closed()
        raw.socket.close()


def test_garbage_after_the_greeting(authority: Authority) -> None:
    """A handshake that turns into nonsense ends the connection, and nothing else."""
    tls = TLSOptions(*authority.issue("localhost"))
    with running(echo, options=options(tls)) as server:
        raw = RawConnection(server.port)
        raw.send(b"\x16\x03\x01\x00\x05" + b"hello" * 10)
        raw.until_closed()
        raw.socket.close()
        with connected(server, client_context(authority)) as good:
            good.send(GET)
            assert good.answer().status == 200


def test_handshake_has_a_time(authority: Authority) -> None:
    """A client that greets and then says nothing is closed."""
    tls = TLSOptions(*authority.issue("localhost"))
    limits = ConnectionLimits(header_seconds=0.2)
    with running(echo, options=options(tls, limits)) as server:
        raw = RawConnection(server.port)
        raw.send(b"\x16\x03\x01")
        assert raw.is_closed()
        raw.socket.close()


def test_cut_off_body(authority: Authority) -> None:
    """An upload over TLS whose TCP connection simply ends is not whole."""
    tls = TLSOptions(*authority.issue("localhost"))
    with running(echo, options=options(tls)) as server:
        with connected(server, client_context(authority)) as raw:
            raw.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
            plain = socket.socket(fileno=os.dup(raw.socket.fileno()))
            plain.shutdown(socket.SHUT_WR)
            plain.close()
            assert b"200" not in raw.until_closed()
        server.until(lambda: not server.server._connections)


def test_reload(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """New files are used for new handshakes; broken ones are logged and change nothing."""
    caplog.set_level(logging.INFO, "moorage.server")
    pair = authority.issue("localhost")
    tls = TLSOptions(*pair)
    with running(echo, options=options(tls)) as server:
        assert server.certificates is not None
        reload_now = server.certificates.reload_if_changed
        with connected(server, client_context(authority)) as old:
            first = peer(old)
            assert not server.ask(reload_now)

            pair[0].write_text("half written")
            assert not server.ask(reload_now)
            assert "stays in use" in caplog.text
            with connected(server, client_context(authority)) as raw:
                assert peer(raw) == first

            for source, target in zip(authority.issue("localhost"), pair, strict=True):
                target.write_bytes(source.read_bytes())
            assert server.ask(reload_now)
            with connected(server, client_context(authority)) as raw:
                assert peer(raw) != first
            old.send(GET)
            assert old.answer().status == 200


def test_missing_file_while_running(authority: Authority) -> None:
    """A file that disappears changes nothing, and its return is noticed."""
    certificate, key = authority.issue("localhost")
    certificates = Certificates(TLSOptions(certificate, key))
    before = certificates.context
    content = certificate.read_bytes()
    certificate.unlink()

    assert not certificates.reload_if_changed()
    assert certificates.context is before
    certificate.write_bytes(content)
    assert certificates.reload_if_changed()


def peer(raw: RawConnection) -> bytes | None:
    """The certificate that the server showed."""
    assert isinstance(raw.socket, ssl.SSLSocket)
    return raw.socket.getpeercert(binary_form=True)
