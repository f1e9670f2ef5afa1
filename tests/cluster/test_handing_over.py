# SPDX-License-Identifier: Apache-2.0
"""An upload belongs to nobody: any replica may begin, continue, resume and finish it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.conformance.verbs import assert_pullable
from tests.durability.pushing import offset_of
from tests.support.images import digest_of, random_blob
from tests.support.raw import RawConnection, request_bytes

if TYPE_CHECKING:
    from tests.cluster.conftest import Everywhere
    from tests.conformance.verbs import Repository
    from tests.support.cluster import Cluster
    from tests.support.images import Content

CHUNK = 300_000
SECONDS = 30.0


def assert_everywhere(everywhere: Everywhere, blob: Content) -> None:
    """Every replica serves the blob."""
    for repository in everywhere:
        assert_pullable(repository, blob)


def resume(everywhere: Everywhere, location: str, blob: Content) -> None:
    """Go on as a patient client does: ask where the upload is, send the rest, ask again if told."""
    deadline = time.monotonic() + SECONDS
    turn = 0
    while time.monotonic() < deadline:
        turn += 1
        asked, told = everywhere[turn % 3], everywhere[(turn + 1) % 3]
        offset = offset_of(asked.wire.get(location))
        if offset == blob.size:
            return
        answer = told.chunk(location, blob.payload[offset:], offset)
        assert answer.status in {202, 416}, answer
    pytest.fail("the upload was never continued")


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_chunks_on_three_replicas(everywhere: Everywhere, turn: int) -> None:
    """Begun on one, continued on the next two in chunks with their place, finished on the first."""
    first, second, third = everywhere[turn:] + everywhere[:turn]
    blob = random_blob(3 * CHUNK)

    location = first.open()
    for number, repository in enumerate((second, third)):
        start = number * CHUNK
        answer = repository.chunk(location, blob.payload[start : start + CHUNK], start)
        assert answer.status == 202, answer
        assert offset_of(answer) == start + CHUNK
        for asked in everywhere:
            assert offset_of(asked.wire.get(location)) == start + CHUNK
    answer = first.close(location, blob.digest, body=blob.payload[2 * CHUNK :])

    assert answer.status == 201, answer
    assert_everywhere(everywhere, blob)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_stream_and_empty_close(everywhere: Everywhere, algorithm: str) -> None:
    """Begun on A, streamed to B without a length, finished on C with an empty PUT."""
    a, b, c = everywhere
    payload = random_blob(2 * CHUNK).payload

    location = a.open()
    pieces = [payload[start : start + 70_000] for start in range(0, len(payload), 70_000)]
    answer = b.patch(location, pieces)
    assert answer.status == 202, answer
    answer = c.close(location, digest_of(payload, algorithm))

    assert answer.status == 201, answer
    for repository in everywhere:
        assert repository.get_blob(digest_of(payload, algorithm)).body == payload


def test_many_small_chunks(everywhere: Everywhere) -> None:
    """Thirty chunks that go round and round are one blob in the right order."""
    blob = random_blob(30 * 1_000)

    location = everywhere.a.open()
    for number in range(30):
        start = number * 1_000
        answer = everywhere[number % 3].chunk(location, blob.payload[start : start + 1_000], start)
        assert answer.status == 202, answer
    assert everywhere.b.close(location, blob.digest).status == 201

    assert_everywhere(everywhere, blob)


def test_chunk_out_of_order(everywhere: Everywhere) -> None:
    """A replica that did not see the last chunk refuses one that leaves a gap, and says where."""
    a, b, c = everywhere
    blob = random_blob(3 * CHUNK)

    location = a.open()
    assert b.chunk(location, blob.payload[:CHUNK], 0).status == 202
    gap = c.chunk(location, blob.payload[2 * CHUNK :], 2 * CHUNK)
    again = c.chunk(location, blob.payload[:CHUNK], 0)

    assert (gap.status, again.status) == (416, 416)
    assert offset_of(gap) == offset_of(again) == CHUNK


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "orderly end"])
def test_resumed_after_a_cut(cluster: Cluster, everywhere: Everywhere, *, reset: bool) -> None:
    """What A had received of a cut request is continued on B and C, whatever that was."""
    blob = random_blob(4 * CHUNK)
    location = everywhere.a.open()
    with RawConnection(urlsplit(cluster.urls[0]).port or 0) as cut:
        head = request_bytes("PATCH", location, ("Content-Length", str(blob.size)))
        cut.send(head + blob.payload[: 2 * CHUNK])
        cut.reset() if reset else cut.finish_sending()

    resume(everywhere, location, blob)
    assert everywhere.c.close(location, blob.digest).status == 201

    assert_everywhere(everywhere, blob)


def test_wrong_digest_ends_the_upload_everywhere(everywhere: Everywhere) -> None:
    """A closing PUT with another digest drops the session on all replicas."""
    a, b, c = everywhere
    blob = random_blob(CHUNK)

    location = a.open()
    assert b.patch(location, blob.payload).status == 202
    refused = c.close(location, random_blob().digest)

    assert refused.status == 400, refused
    assert [each.wire.get(location).status for each in everywhere] == [404, 404, 404]


def test_cancelled_everywhere(everywhere: Everywhere) -> None:
    """An upload that is cancelled on C is unknown on A, where it was begun, and on B."""
    a, b, c = everywhere
    location = a.open()
    assert b.patch(location, b"something").status == 202

    assert c.wire.delete(location).status == 204

    for repository in everywhere:
        assert repository.wire.get(location).status == 404
        assert repository.patch(location, b"more").status == 404


def test_through_the_balancer(
    cluster: Cluster, balanced: Repository, everywhere: Everywhere
) -> None:
    """POST, PATCH, PATCH and PUT of one client meet three replicas, over one connection."""
    blob = random_blob(2 * CHUNK)
    before = cluster.balancer.taken.copy()

    location = balanced.open()
    assert balanced.chunk(location, blob.payload[:CHUNK], 0).status == 202
    assert balanced.chunk(location, blob.payload[CHUNK:], CHUNK).status == 202
    assert balanced.close(location, blob.digest).status == 201

    assert sorted((cluster.balancer.taken - before).values()) == [1, 1, 2]
    assert_everywhere(everywhere, blob)
