# SPDX-License-Identifier: Apache-2.0
"""Every way in which a client may push a blob, each as one function with the final answer.

`body` is what is sent and `digest` what is claimed; the ways insist on every answer but the last,
so that a test can ask for a 201 or, with a wrong digest, for a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.conformance.verbs import OCTETS, Repository, span

if TYPE_CHECKING:
    from tests.support.wire import Answer

# The smallest chunk of the OCI suite; a blob of three chunks has a last one that is shorter.
CHUNK = 1024
THREE_CHUNKS = CHUNK * 3 - 5

Way = Callable[[Repository, bytes, str], "Answer"]


def post_only(repository: Repository, body: bytes, digest: str) -> Answer:
    """The whole blob in the request that would have opened a session."""
    return repository.wire.post(
        f"{repository.uploads}?digest={digest.replace(':', '%3A')}", OCTETS, body=body
    )


def post_put(repository: Repository, body: bytes, digest: str) -> Answer:
    """The whole blob in the closing request."""
    return repository.close(repository.open(), digest, body=body)


def stream(repository: Repository, body: bytes, digest: str) -> Answer:
    """The whole blob in one PATCH of unknown length."""
    answer = repository.patch(repository.open(), body, chunked=True)
    assert answer.status == 202, answer
    return repository.close(answer.location, digest)


def stream_with_length(repository: Repository, body: bytes, digest: str) -> Answer:
    """The whole blob in one PATCH of known length, without a Content-Range."""
    answer = repository.patch(repository.open(), body)
    assert answer.status == 202, answer
    return repository.close(answer.location, digest)


def chunked(repository: Repository, body: bytes, digest: str) -> Answer:
    """PATCH after PATCH in order, then an empty PUT."""
    location = repository.open()
    for first in range(0, len(body), CHUNK):
        piece = body[first : first + CHUNK]
        answer = repository.chunk(location, piece, first)
        assert answer.status == 202, answer
        assert answer.headers["Range"] == f"0-{first + len(piece) - 1}"
        location = answer.location
    return repository.close(location, digest)


def chunked_and_put_chunk(repository: Repository, body: bytes, digest: str) -> Answer:
    """PATCH after PATCH in order, the last chunk in the PUT."""
    location = repository.open()
    last = (len(body) - 1) // CHUNK * CHUNK
    for first in range(0, last, CHUNK):
        answer = repository.chunk(location, body[first : first + CHUNK], first)
        assert answer.status == 202, answer
        location = answer.location
    tail = body[last:]
    return repository.close(location, digest, span(last, len(tail)), body=tail)


def out_of_order(repository: Repository, body: bytes, digest: str) -> Answer:
    """Before each chunk one that does not fit: it is refused, and the session goes on."""
    location = repository.open()
    for first in range(0, len(body), CHUNK):
        location = _stray(repository, location, body, first, digest, put_last=False)
        answer = repository.chunk(location, body[first : first + CHUNK], first)
        assert answer.status == 202, answer
        location = answer.location
    return repository.close(location, digest)


def out_of_order_and_put_chunk(repository: Repository, body: bytes, digest: str) -> Answer:
    """The same with the last chunk in a PUT, the one that does not fit as well."""
    location = repository.open()
    last = (len(body) - 1) // CHUNK * CHUNK
    for first in range(0, last, CHUNK):
        location = _stray(repository, location, body, first, digest, put_last=True)
        answer = repository.chunk(location, body[first : first + CHUNK], first)
        assert answer.status == 202, answer
        location = answer.location
    location = _stray(repository, location, body, last, digest, put_last=True)
    tail = body[last:]
    return repository.close(location, digest, span(last, len(tail)), body=tail)


def _stray(
    repository: Repository,
    location: str,
    body: bytes,
    offset: int,
    digest: str,
    *,
    put_last: bool,
) -> str:
    """Send a chunk from elsewhere; return the location that a status request then names.

    It skips one chunk ahead, or goes back to the beginning when there is none ahead. The status
    request goes to the very address that was refused, its digest included.
    """
    first = offset + CHUNK if offset + CHUNK < len(body) else 0
    piece = body[first : first + CHUNK]
    if put_last and first + len(piece) == len(body):
        location = f"{location}?digest={digest}"
        refused = repository.wire.put(location, OCTETS, span(first, len(piece)), body=piece)
    else:
        refused = repository.chunk(location, piece, first)
    assert refused.status == 416, refused
    status = repository.wire.get(location)
    assert status.status == 204, status
    assert status.headers["Range"] == f"0-{max(offset - 1, 0)}"
    return status.location


WAYS: dict[str, tuple[Way, int]] = {
    "post only": (post_only, 512),
    "post+put": (post_put, 512),
    "chunked single": (chunked, 512),
    "stream": (stream, 512),
    "stream with length": (stream_with_length, 512),
    "chunked multi": (chunked, THREE_CHUNKS),
    "chunked multi and put chunk": (chunked_and_put_chunk, THREE_CHUNKS),
    "chunked out-of-order": (out_of_order, THREE_CHUNKS),
    "chunked out-of-order and put chunk": (out_of_order_and_put_chunk, THREE_CHUNKS),
}
"""The suite's names of the ways, and the size of the blob that it pushes so."""
