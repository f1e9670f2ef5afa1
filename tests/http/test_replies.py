# SPDX-License-Identifier: Apache-2.0
"""Replies send themselves: length announced first, no body for HEAD, nothing held in the end."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from moorage.http.content import INLINE_BYTES, PIECE_BYTES, ZERO_COPY, FileContent, StreamContent
from moorage.http.errors import error_reply
from moorage.http.replies import BytesReply, ContentReply, EmptyReply, MultipartReply, Reply
from moorage.spec.errors import (
    BlobUnknown,
    ManifestBlobUnknown,
    RangeInvalid,
    TooManyRequests,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from moorage.http.types import Message

SIZE = 2 * PIECE_BYTES + 100


class Kept:
    """Content of one repeated byte that remembers whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def send(self, scope: object, send: object, start: int, stop: int, *, more: bool) -> None:
        """Send `stop - start` bytes."""
        await send(  # type: ignore[operator]
            {"type": "http.response.body", "body": b"k" * (stop - start), "more_body": more}
        )

    def close(self) -> None:
        """Remember."""
        self.closed += 1


def sent_by(reply: Reply, method: str = "GET", extensions: Sequence[str] = ()) -> list[Message]:
    """The messages of a reply."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        if message["type"] == ZERO_COPY:
            body = os.pread(message["file"], message["count"], message["offset"])
            message = {**message, "body": body}
        messages.append(message)

    scope = {"type": "http", "method": method, "extensions": dict.fromkeys(extensions)}
    asyncio.run(reply.send(scope, send))
    return messages


def body_of(messages: list[Message]) -> bytes:
    """The body, whose end must be announced exactly once and last."""
    more = [message.get("more_body", False) for message in messages[1:]]
    assert more == [True] * (len(more) - 1) + [False]
    return b"".join(message["body"] for message in messages[1:])


def length_of(messages: list[Message]) -> int:
    """The announced length."""
    (value,) = [value for name, value in messages[0]["headers"] if name == b"content-length"]
    return int(value)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[], int]:
    """Opens a file of known bytes."""
    path = tmp_path / "blob"
    path.write_bytes(bytes(number % 251 for number in range(SIZE)))
    return lambda: os.open(path, os.O_RDONLY)


def expected(start: int, stop: int) -> bytes:
    """What the file holds."""
    return bytes(number % 251 for number in range(start, stop))


def is_open(descriptor: int) -> bool:
    """Whether a file descriptor is still one."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_replies_without_a_body() -> None:
    """One says nothing about its length (204, 304), the other that it is zero."""
    assert sent_by(Reply(204, [])) == [
        {"type": "http.response.start", "status": 204, "headers": []},
        {"type": "http.response.body", "body": b""},
    ]
    empty = sent_by(EmptyReply(202, [(b"location", b"/x")]))
    assert empty[0]["headers"] == [(b"location", b"/x"), (b"content-length", b"0")]


def test_bytes() -> None:
    """GET has the body, HEAD the same headers without it."""
    get = sent_by(BytesReply(200, b"abc", b"text/plain", [(b"etag", b"x")]))
    head = sent_by(BytesReply(200, b"abc", b"text/plain", [(b"etag", b"x")]), "HEAD")

    assert body_of(get) == b"abc"
    assert body_of(head) == b""
    assert get[0] == head[0]
    assert length_of(get) == 3


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, SIZE), (0, 1), (5, 5 + INLINE_BYTES), (5, 6 + INLINE_BYTES), (1, 1 + PIECE_BYTES)],
)
@pytest.mark.parametrize("extensions", [(), (ZERO_COPY,)])
def test_a_part_of_a_file(
    file: Callable[[], int], start: int, stop: int, extensions: tuple[str, ...]
) -> None:
    """Exactly the bytes asked for, by the kernel where that is offered, and the file is closed."""
    descriptor = file()
    messages = sent_by(
        ContentReply(206, [], FileContent(descriptor), start, stop), extensions=extensions
    )

    assert length_of(messages) == stop - start
    assert body_of(messages) == expected(start, stop)
    by_kernel = [message["type"] == ZERO_COPY for message in messages[1:]]
    assert any(by_kernel) == (bool(extensions) and stop - start > INLINE_BYTES)
    assert not is_open(descriptor)


def test_a_file_that_was_cut_short_is_never_sent_as_whole(file: Callable[[], int]) -> None:
    """When bytes are missing the reply breaks off; the client sees that it is not complete."""
    descriptor = file()
    reply = ContentReply(200, [], FileContent(descriptor), 0, SIZE + PIECE_BYTES)

    with pytest.raises(EOFError, match=str(SIZE)):
        sent_by(reply)
    assert not is_open(descriptor)


def test_a_stream() -> None:
    """Pieces that come from elsewhere are passed on as they come."""

    async def read(start: int, stop: int) -> AsyncIterator[bytes]:
        for position in range(start, stop):
            yield bytes([position])

    messages = sent_by(ContentReply(200, [], StreamContent(read), 3, 6))

    assert body_of(messages) == bytes([3, 4, 5])
    assert length_of(messages) == 3


@pytest.mark.parametrize("extensions", [(), (ZERO_COPY,)])
def test_several_parts(file: Callable[[], int], extensions: tuple[str, ...]) -> None:
    """Each part has its own head, and the announced length is that of all of them together."""
    descriptor = file()
    parts = [(0, 10), (100, 100 + PIECE_BYTES)]
    messages = sent_by(
        MultipartReply([(b"etag", b"x")], FileContent(descriptor), parts, SIZE),
        extensions=extensions,
    )

    headers = dict(messages[0]["headers"])
    boundary = headers[b"content-type"].partition(b"boundary=")[2]
    body = body_of(messages)
    assert headers[b"content-type"].startswith(b"multipart/byteranges; boundary=")
    assert headers[b"etag"] == b"x"
    assert length_of(messages) == len(body)
    before, *listed, after = body.split(b"\r\n--" + boundary)
    assert (before, after) == (b"", b"--\r\n")
    for (start, stop), part in zip(parts, listed, strict=True):
        head, _, content = part.partition(b"\r\n\r\n")
        assert f"content-range: bytes {start}-{stop - 1}/{SIZE}".encode() in head
        assert content == expected(start, stop)
    assert not is_open(descriptor)


def test_boundaries_are_never_the_same(file: Callable[[], int]) -> None:
    """Nobody can put the boundary of a reply into a blob beforehand."""
    replies = [MultipartReply([], FileContent(file()), [(0, 1), (2, 3)], SIZE) for _ in range(2)]

    assert replies[0].headers != replies[1].headers
    for reply in replies:
        reply.close()


@pytest.mark.parametrize("messages_before", [0, 1])
def test_what_a_reply_holds_is_given_back(messages_before: int) -> None:
    """A client that leaves, before the head or in the middle, leaves nothing open."""
    for content, reply in (
        (one := Kept(), ContentReply(200, [], one, 0, 5)),
        (several := Kept(), MultipartReply([], several, [(0, 1), (2, 3)], 5)),
    ):
        taken: list[Message] = []

        async def send(message: Message, taken: list[Message] = taken) -> None:
            if len(taken) == messages_before:
                raise ConnectionResetError
            taken.append(message)

        with pytest.raises(ConnectionResetError):
            asyncio.run(reply.send({"type": "http", "method": "GET"}, send))
        assert content.closed == 1


def test_refusals() -> None:
    """A refusal becomes its status, its headers and a body that lists each error."""
    missing = BlobUnknown("It is not here.", detail={"digest": "sha256:0"})
    reply = error_reply(missing)
    assert reply.status == 404
    assert (b"content-type", b"application/json") in reply.headers
    assert reply.body == (
        b'{"errors":[{"code":"BLOB_UNKNOWN","message":"It is not here.",'
        b'"detail":{"digest":"sha256:0"}}]}'
    )

    several = error_reply(ManifestBlobUnknown.for_digests(["sha256:0", "sha256:1", "sha256:0"]))
    assert several.status == 400
    assert several.body.count(b"MANIFEST_BLOB_UNKNOWN") == 2


def test_the_headers_of_a_refusal_are_sent() -> None:
    """What a client needs to go on (where, when) is in the headers, names in lower case."""
    outside = error_reply(RangeInvalid(headers=[("Content-Range", "bytes */10")]))
    assert (b"content-range", b"bytes */10") in outside.headers

    later = error_reply(TooManyRequests())
    assert b"retry-after" in dict(later.headers)
