# SPDX-License-Identifier: Apache-2.0
"""The proxy that counts and breaks requests to an object store, tried with a real client."""

from __future__ import annotations

import contextlib
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.store import S3Store

from tests.support.object_proxy import ObjectProxy
from tests.support.object_requests import Meaning, StoreRequest
from tests.support.object_servers import ACCESS_KEY, REGION, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.object_servers import ObjectServer

PART = 5 << 20
TIMEOUT = "5s"


@pytest.fixture
def proxy(s3_server: ObjectServer) -> Iterator[ObjectProxy]:
    """A proxy in front of S3."""
    with ObjectProxy(s3_server) as running:
        yield running


@pytest.fixture
def client(proxy: ObjectProxy) -> S3Store:
    """A client of a fresh bucket behind the proxy, which tries once and not for long."""
    return connect(proxy, retries=0)


def connect(proxy: ObjectProxy, *, retries: int) -> S3Store:
    """A client of a fresh bucket behind the proxy."""
    return S3Store(
        proxy.server.bucket(),
        endpoint=proxy.endpoint,
        region=REGION,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": TIMEOUT},
        retry_config={"max_retries": retries},
    )


@pytest.mark.parametrize(
    ("method", "target", "headers", "meaning"),
    [
        ("PUT", "/b/a%2Fc", {}, Meaning.PUT),
        ("PUT", "/b/a?partNumber=1&uploadId=x", {}, Meaning.UPLOAD_PART),
        ("POST", "/b/a?uploads=", {}, Meaning.CREATE_MULTIPART),
        ("POST", "/b/a?uploadId=x", {}, Meaning.COMPLETE_MULTIPART),
        ("DELETE", "/b/a?uploadId=x", {}, Meaning.ABORT_MULTIPART),
        ("GET", "/b?uploads", {}, Meaning.LIST_MULTIPART),
        ("GET", "/b?list-type=2&prefix=a%2F", {}, Meaning.LIST),
        ("GET", "/b/a", {}, Meaning.GET),
        ("HEAD", "/b/a", {}, Meaning.HEAD),
        ("DELETE", "/b/a", {}, Meaning.DELETE),
        ("POST", "/b?delete", {}, Meaning.DELETE),
        ("PUT", "/b/a", {"x-amz-copy-source": "/b/c"}, Meaning.COPY),
        ("PUT", "/b/a?partNumber=1&uploadId=x", {"x-amz-copy-source": "/b/c"}, Meaning.COPY),
        ("PUT", "/b", {}, Meaning.OTHER),
    ],
)
def test_knows_what_a_request_to_s3_means(
    method: str, target: str, headers: dict[str, str], meaning: Meaning
) -> None:
    """Method, query and headers tell the operation."""
    assert StoreRequest(method, target, headers).meaning is meaning


@pytest.mark.parametrize(
    ("method", "target", "headers", "meaning"),
    [
        ("PUT", "/account/c/a/b", {}, Meaning.PUT),
        ("PUT", "/account/c/a?comp=block&blockid=x", {}, Meaning.UPLOAD_PART),
        ("PUT", "/account/c/a?comp=blocklist", {}, Meaning.COMPLETE_MULTIPART),
        ("GET", "/account/c?restype=container&comp=list", {}, Meaning.LIST),
        ("POST", "/account/c?restype=container&comp=batch", {}, Meaning.DELETE),
        ("PUT", "/account/c/a", {"x-ms-copy-source": "http://x"}, Meaning.COPY),
        ("GET", "/account/c/a", {}, Meaning.GET),
    ],
)
def test_knows_what_a_request_to_azure_means(
    method: str, target: str, headers: dict[str, str], meaning: Meaning
) -> None:
    """Azure's operations are counted under the names that S3 has for them."""
    assert StoreRequest(method, target, headers, azure=True).meaning is meaning


def test_counts_operations_and_bytes(proxy: ObjectProxy, client: S3Store) -> None:
    """What a client does is counted by meaning, with the bytes in each direction."""
    obstore.put(client, "small/one", b"12345", use_multipart=False)
    obstore.put(client, "large", bytes(2 * PART + 1), use_multipart=True, chunk_size=PART)
    obstore.get(client, "small/one").bytes()
    obstore.head(client, "large")
    obstore.copy(client, "small/one", "small/two")
    obstore.list(client, "small/").collect()
    obstore.delete(client, "large")

    assert proxy.counts == {
        Meaning.PUT: 1,
        Meaning.CREATE_MULTIPART: 1,
        Meaning.UPLOAD_PART: 3,
        Meaning.COMPLETE_MULTIPART: 1,
        Meaning.GET: 1,
        Meaning.HEAD: 1,
        Meaning.COPY: 1,
        Meaning.LIST: 1,
        Meaning.DELETE: 1,
    }
    assert 2 * PART + 6 <= proxy.body_bytes_up <= 2 * PART + 4096
    assert 5 <= proxy.body_bytes_down <= 8192
    assert "small/one" in {request.key for request in proxy.requests}


def test_forgets_what_it_counted(proxy: ObjectProxy, client: S3Store) -> None:
    """After a reset the counts begin at zero."""
    obstore.put(client, "one", b"1", use_multipart=False)
    proxy.reset()

    assert not proxy.counts
    assert not proxy.requests
    assert proxy.body_bytes_up == 0


def test_refuses_as_often_as_asked(proxy: ObjectProxy) -> None:
    """A client that tries again gets through after the refusals that were ordered."""
    client = connect(proxy, retries=5)
    fault = proxy.refuse(503, times=2, when=lambda request: request.meaning is Meaning.PUT)

    obstore.put(client, "kept", b"body", use_multipart=False)

    assert fault.hits == 2
    assert proxy.counts[Meaning.PUT] == 3
    assert proxy.statuses[503] == 2
    assert bytes(obstore.get(client, "kept").bytes()) == b"body"


def test_refuses_only_what_is_meant(proxy: ObjectProxy, client: S3Store) -> None:
    """A predicate chooses requests; everything else goes on, and all of it once it is over."""
    obstore.put(client, "readable", b"body", use_multipart=False)
    with proxy.refuse(500, when=lambda request: request.key == "unwritable"):
        with pytest.raises(obstore.exceptions.BaseError):
            obstore.put(client, "unwritable", b"body", use_multipart=False)
        assert bytes(obstore.get(client, "readable").bytes()) == b"body"

    obstore.put(client, "unwritable", b"body", use_multipart=False)


def test_cuts_a_request_in_the_middle(proxy: ObjectProxy, client: S3Store) -> None:
    """A body that is cut on its way leaves no object, and no more of it passes than allowed."""
    with proxy.cut_requests(after=100_000), pytest.raises(obstore.exceptions.BaseError):
        obstore.put(client, "half", bytes(1 << 20), use_multipart=False)

    assert proxy.body_bytes_up == 100_000
    assert obstore.list(client).collect() == []


def test_cuts_an_answer_in_the_middle(proxy: ObjectProxy, client: S3Store) -> None:
    """An answer's body ends early; the next request works on a new connection."""
    obstore.put(client, "whole", bytes(1 << 20), use_multipart=False)
    with proxy.cut_responses(after=10):
        assert len(body_on_the_wire(proxy.port)) == 10
        with pytest.raises(obstore.exceptions.BaseError):
            obstore.get(client, "whole").bytes()

    assert len(obstore.get(client, "whole").bytes()) == 1 << 20


def body_on_the_wire(port: int) -> bytes:
    """The body of an answer, an error's here, until the connection ends."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /nowhere/key HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                received += piece
    return received.partition(b"\r\n\r\n")[2]


def test_hangs_until_it_is_lifted(proxy: ObjectProxy, client: S3Store) -> None:
    """A request that hangs is answered by nobody; afterwards the store is as before."""
    with proxy.hang(times=1) as fault:
        with pytest.raises(obstore.exceptions.BaseError):
            obstore.get(client, "anything")
        assert fault.hits == 1

    obstore.put(client, "after", b"body", use_multipart=False)


def test_delays_a_request(proxy: ObjectProxy, client: S3Store) -> None:
    """A slow request arrives all the same."""
    fault = proxy.slow(0.05, times=1)

    obstore.put(client, "late", b"body", use_multipart=False)

    assert fault.hits == 1
    assert bytes(obstore.get(client, "late").bytes()) == b"body"


def test_the_server_may_restart_behind_it(proxy: ObjectProxy) -> None:
    """While the server is down requests fail; when it is back the same address works."""
    client = connect(proxy, retries=0)
    proxy.server.kill()
    try:
        with pytest.raises(obstore.exceptions.BaseError):
            obstore.put(client, "lost", b"body", use_multipart=False)
    finally:
        proxy.server.restart()
    patient = connect(proxy, retries=5)

    obstore.put(patient, "kept", b"body", use_multipart=False)


def test_a_request_that_nobody_refuses_is_answered_by_the_server(proxy: ObjectProxy) -> None:
    """What the server says about a wrong signature reaches the client as it is."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{proxy.endpoint}/nowhere/key", timeout=10)

    assert caught.value.code in {403, 404}
    assert b"<Error>" in caught.value.read()
