# SPDX-License-Identifier: Apache-2.0
"""Rules for every answer (protocol section 1.0): headers, framing, continue, early refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import ACCEPT, OCTETS, Repository, assert_error, assert_pullable
from tests.support.images import (
    OCI_MANIFEST,
    Content,
    index,
    random_blob,
    random_image,
    with_digest,
)
from tests.support.raw import RawConnection, request_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.registry import RunningRegistry
    from tests.support.wire import Answer, Wire


@pytest.fixture
def raw(registry: RunningRegistry) -> Iterator[RawConnection]:
    """A connection on which bytes are written as they stand."""
    with RawConnection(registry.port) as connection:
        yield connection


def every_answer(repository: Repository) -> list[Answer]:
    """An answer of each kind that the protocol has, good and bad."""
    wire, image, blob = repository.wire, random_image(), random_blob()
    answers = [
        wire.get("/v2/"),
        wire.get("/v2/nothing/here"),
        wire.get("/v2/_catalog?n=1"),
        repository.tags(),
        wire.post(repository.uploads),
        repository.mount(blob, "no/where"),
        repository.push_image(image, "v1"),
        repository.push_manifest(index([], subject=image.manifest.descriptor()), "v2"),
        repository.tags(n=1),
        repository.referrers(image.manifest, n=1),
        repository.get_manifest("v1"),
        repository.head_manifest("v1"),
        repository.get_manifest("absent"),
        repository.get_blob(image.config),
        repository.get_blob(image.config, ("Range", "bytes=0-1")),
        repository.get_blob(image.config, ("Range", "bytes=0-1,4-5")),
        repository.get_blob(image.config, ("Range", "bytes=9-1")),
        repository.get_blob(image.config, ("If-None-Match", "*")),
        repository.get_blob(blob),
        repository.sibling("mounted").mount(image.config, repository.name),
    ]
    location = repository.open()
    answers += [
        wire.get(location),
        repository.patch(location, blob.payload),
        repository.chunk(location, blob.payload, 0),
        repository.close(location, blob.digest),
        wire.delete(repository.open()),
        wire.post(f"{repository.uploads}?digest={blob.digest}", OCTETS, body=blob.payload),
        wire.post(f"{repository.uploads}?digest={blob.digest}", OCTETS, body=b"other"),
        repository.put_manifest(Content(b"{}", OCI_MANIFEST), "v3"),
        wire.request("POST", repository.path + "/tags/list", body=b""),
        repository.delete_manifest("v2"),
        repository.delete_manifest(image.manifest),
        repository.delete_blob(blob),
    ]
    return answers


def test_version_header(repository: Repository) -> None:
    """Every answer says what it is, exactly once."""
    for answer in every_answer(repository):
        assert answer.headers.get_all("Docker-Distribution-API-Version") == ["registry/2.0"], answer


def test_links_are_relative(repository: Repository) -> None:
    """Location and Link begin with the path, so that they work behind any proxy."""
    found = 0
    for answer in every_answer(repository):
        for location in answer.headers.get_all("Location"):
            assert location.startswith("/v2/"), answer
            found += 1
        for link in answer.headers.get_all("Link"):
            assert link.startswith("</v2/"), answer
            found += 1
    assert found > 10


def test_nothing_is_sent_twice(repository: Repository) -> None:
    """No header that must be single comes in two lines."""
    for answer in every_answer(repository):
        names = [key.lower() for key, _ in answer.headers]
        doubles = {name for name in names if names.count(name) > 1}
        assert doubles <= {"warning", "link", "oci-tag", "www-authenticate", "set-cookie"}, answer


def test_length_is_announced(repository: Repository) -> None:
    """Every body has its length; answers that have none say 0 or are of a kind without one."""
    for answer in every_answer(repository):
        if answer.status in {204, 304}:
            assert answer.headers.get("Content-Length") in {None, "0"}, answer
        else:
            assert "Transfer-Encoding" not in answer.headers, answer
            assert answer.headers["Content-Length"].isdecimal(), answer


@pytest.mark.parametrize(
    "encoding", ["gzip", "zstd, gzip, deflate", "br;q=1.0, *;q=0.5", "identity"]
)
def test_never_compressed(repository: Repository, encoding: str) -> None:
    """Bytes come as they are, whatever encodings the client would take."""
    image = random_image(annotations={"a": "a" * 100_000})
    repository.push_image(image, "v1")
    accept = ("Accept-Encoding", encoding)

    for answer in (
        repository.get_manifest("v1", *ACCEPT, accept),
        repository.get_blob(image.config, accept),
    ):
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Content-Length"] == str(len(answer.body))
    assert repository.get_manifest("v1", *ACCEPT, accept).body == image.manifest.payload


@pytest.mark.parametrize("query", ["ns=docker.io", "ns=", "x=1&ns=a%2Fb", "unknown=%ff", "a;b&&="])
def test_strange_query(repository: Repository, query: str) -> None:
    """Query values that mean nothing here are ignored (`ns` is for mirrors)."""
    image = random_image()
    repository.push_image(image, "v1")

    assert repository.wire.get(f"{repository.manifest_path('v1')}?{query}", *ACCEPT).status == 200
    assert repository.wire.get(f"{repository.blob_path(image.config)}?{query}").status == 200


def test_podman_sends_the_version_header(wire: Wire) -> None:
    """The version header in a request means nothing."""
    assert wire.get("/v2/", ("Docker-Distribution-Api-Version", "registry/2.0")).status == 200


def upload_request(
    repository: Repository, blob: Content, *headers: tuple[str, str]
) -> tuple[bytes, bytes]:
    """Head and body of a PUT with the whole blob."""
    target = with_digest(repository.open(), blob.digest)
    length = ("Content-Length", str(blob.size))
    return request_bytes("PUT", target, OCTETS, length, *headers), blob.payload


def test_expect_continue(repository: Repository, raw: RawConnection) -> None:
    """A client that waits for permission to send its body gets it."""
    blob = random_blob(100_000)
    head, body = upload_request(repository, blob, ("Expect", "100-continue"))

    raw.send(head)
    assert raw.any_answer(method="PUT").status == 100
    raw.send(body)

    assert raw.answer(method="PUT").status == 201
    assert_pullable(repository, blob)


def test_expect_continue_refused(repository: Repository, raw: RawConnection) -> None:
    """A request that is refused anyway is refused without its body."""
    target = f"{repository.uploads}unknown?digest={random_blob().digest}"
    length = ("Content-Length", "1000000")
    raw.send(request_bytes("PUT", target, OCTETS, length, ("Expect", "100-continue")))

    answer = raw.any_answer(method="PUT")

    assert answer.status in {100, 404}, answer
    if answer.status == 404:
        assert_error(answer, 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("size", [1000, 100_000, 3_000_000])
def test_early_refusal_is_readable(repository: Repository, size: int) -> None:
    """A refusal of a request whose body nobody wants is read in full, never lost in a reset."""
    blob = random_blob(size)

    for _ in range(3):
        answer = repository.close(f"{repository.uploads}unknown", blob.digest, body=blob.payload)
        assert_error(answer, 404, "BLOB_UPLOAD_UNKNOWN")
        refused = repository.wire.post(
            f"{repository.uploads}?digest=bad", OCTETS, body=blob.payload
        )
        assert_error(refused, 400, "DIGEST_INVALID")
        assert repository.wire.get("/v2/").status == 200


def test_pipelining(raw: RawConnection) -> None:
    """Requests sent at once are answered one after the other."""
    raw.send(request_bytes("GET", "/v2/") * 20)

    assert [raw.answer().status for _ in range(20)] == [200] * 20


def test_connection_close(raw: RawConnection) -> None:
    """A client that wants the connection closed has it closed after the answer."""
    raw.send(request_bytes("GET", "/v2/", ("Connection", "close")))

    assert raw.answer().status == 200
    assert raw.is_closed()


def test_http_1_0(raw: RawConnection) -> None:
    """A client of HTTP/1.0 is served, and the connection closed."""
    raw.send(b"GET /v2/ HTTP/1.0\r\n\r\n")

    assert raw.answer().status == 200
    assert raw.is_closed()


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_body_in_pieces(repository: Repository, raw: RawConnection, pieces: int) -> None:
    """However the bytes of a request are cut up, they are the same request."""
    blob = random_blob(1000)
    head, body = upload_request(repository, blob)
    data = head + body
    size = max(len(data) // pieces, 1)

    for first in range(0, len(data), size):
        raw.send(data[first : first + size])

    assert raw.answer(method="PUT").status == 201
    assert_pullable(repository, blob)


def test_chunk_extensions_and_trailers(repository: Repository, raw: RawConnection) -> None:
    """Chunk extensions and trailer fields are read over."""
    blob = Content(b"hello world")
    target = with_digest(repository.open(), blob.digest)
    raw.send(request_bytes("PUT", target, OCTETS, ("Transfer-Encoding", "chunked")))
    raw.send(b'5;name=value\r\nhello\r\n006;q="x"\r\n world\r\n0;last\r\nX-Trailer: yes\r\n\r\n')

    assert raw.answer(method="PUT").status == 201
    assert_pullable(repository, blob)


@pytest.mark.parametrize("target", ["http://registry{path}", "{path}#fragment"])
def test_target_forms(repository: Repository, raw: RawConnection, target: str) -> None:
    """The absolute form of a target means the same; a fragment is never sent, but harmless."""
    repository.push_manifest(index([]), "v1")

    raw.send(request_bytes("GET", target.format(path=repository.manifest_path("v1")), *ACCEPT))

    assert raw.answer().status in {200, 400, 404}
