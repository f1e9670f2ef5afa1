# SPDX-License-Identifier: Apache-2.0
"""Requests that meet on different replicas: one of them wins, and nothing is damaged.

Which one wins is the scheduler's choice; each test insists on what must hold whichever it was.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.conformance.verbs import Repository, changed, tags_of
from tests.support.commands import Commands
from tests.support.images import Content, random_blob, random_image, with_digest
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.cluster.conftest import Everywhere
    from tests.support.cluster import Cluster
    from tests.support.wire import Answer

T = TypeVar("T")

ROUNDS = 12
# What the loser may be told: the upload has moved on, or has ended.
TOO_LATE = {404, 416}


def at_once(deeds: Sequence[Callable[[], T]]) -> list[T]:
    """Start all of them at the same moment; what each has returned."""
    barrier = Barrier(len(deeds))

    def deed(one: Callable[[], T]) -> T:
        barrier.wait(20)
        return one()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(deed, deeds))


def assert_sound(cluster: Cluster) -> None:
    """`moorage check` finds no problem in anything that is stored."""
    report = Commands.of(cluster.replicas[0]).run("check", "--json").json()
    problems = [finding for finding in report["findings"] if finding["problem"]]
    assert problems == []


@pytest.mark.parametrize("end", ["empty close", "close with the rest"])
def test_two_finish_the_same_upload(cluster: Cluster, everywhere: Everywhere, end: str) -> None:
    """Two closing PUTs with the same bytes: the blob is there, and nobody is told a lie."""
    for _ in range(ROUNDS):
        blob = random_blob(40_000)
        sent = blob.size if end == "empty close" else blob.size // 2
        location = everywhere.a.open()
        assert everywhere.b.patch(location, blob.payload[:sent]).status == 202

        closes = [
            partial(repository.close, location, blob.digest, body=blob.payload[sent:])
            for repository in everywhere
        ]
        statuses = [answer.status for answer in at_once(closes)]

        # Whoever finds the upload ended looks for the blob: finding it is a success too.
        assert 201 in statuses, statuses
        assert set(statuses) <= {201, *TOO_LATE}, statuses
        for repository in everywhere:
            assert repository.wire.get(location).status == 404
            assert repository.get_blob(blob).body == blob.payload
    assert_sound(cluster)


def test_two_finish_with_different_bytes(cluster: Cluster, everywhere: Everywhere) -> None:
    """Of two closing PUTs that disagree about the end exactly one makes a blob."""
    a, b, c = everywhere
    for _ in range(ROUNDS):
        start = random_blob(30_000).payload
        ends = [random_blob(30_000).payload, random_blob(20_000).payload]
        blobs = [Content(start + end) for end in ends]
        location = c.open()
        assert c.patch(location, start).status == 202

        answers = at_once(
            [
                partial(repository.close, location, blob.digest, body=end)
                for repository, blob, end in zip((a, b), blobs, ends, strict=True)
            ]
        )

        statuses = [answer.status for answer in answers]
        assert min(statuses) == 201, statuses
        assert max(statuses) in TOO_LATE, statuses
        for repository in everywhere:
            for blob, status in zip(blobs, statuses, strict=True):
                got = repository.get_blob(blob)
                assert got.status == (200 if status == 201 else 404)
                assert status != 201 or got.body == blob.payload
    assert_sound(cluster)


def test_two_continue_at_the_same_place(cluster: Cluster, everywhere: Everywhere) -> None:
    """Of several chunks for the same place one is taken, and the upload goes on behind that one."""
    for _ in range(ROUNDS):
        chunks = [random_blob(20_000 + 1_000 * number).payload for number in range(3)]
        location = everywhere.a.open()

        answers = at_once(
            [
                partial(repository.chunk, location, chunk, 0)
                for repository, chunk in zip(everywhere, chunks, strict=True)
            ]
        )

        statuses = [answer.status for answer in answers]
        assert sorted(statuses) == [202, 416, 416], statuses
        won = Content(chunks[statuses.index(202)])
        assert everywhere.c.close(location, won.digest).status == 201
        assert everywhere.b.get_blob(won).body == won.payload
    assert_sound(cluster)


def test_cancelled_while_it_is_written(cluster: Cluster, everywhere: Everywhere) -> None:
    """A cancels while B is writing: the upload is gone, and what B had does not come back."""
    a, b, c = everywhere
    for _ in range(ROUNDS):
        location = a.open()
        begun = Barrier(2)

        def slowly(begun: Barrier = begun) -> Iterator[bytes]:
            yield random_blob(100_000).payload
            begun.wait(20)
            yield random_blob(100_000).payload

        def cancel(location: str = location, begun: Barrier = begun) -> Answer:
            begun.wait(20)
            return a.wire.delete(location)

        write: Callable[[], Answer] = partial(b.patch, location, slowly())
        written, cancelled = (answer.status for answer in at_once([write, cancel]))

        assert cancelled == 204
        assert written in {202, *TOO_LATE}
        for repository in everywhere:
            assert repository.wire.get(location).status == 404
        assert c.wire.put(with_digest(location, random_blob().digest)).status == 404
    assert_sound(cluster)


def test_same_blob_from_everywhere(cluster: Cluster, everywhere: Everywhere) -> None:
    """A blob pushed by all three at once, to one repository and to several, is stored once."""
    for number in range(ROUNDS):
        blob = random_blob(60_000)
        targets = [
            repository.sibling(f"{place}" if number % 2 else "one")
            for place, repository in enumerate(everywhere)
        ]

        answers = at_once([partial(target.push_blob, blob) for target in targets])

        assert [answer.status for answer in answers] == [201, 201, 201]
        for target in targets:
            assert target.get_blob(blob).body == blob.payload
    assert_sound(cluster)


def test_first_of_many_creates_a_tag(everywhere: Everywhere) -> None:
    """Of three pushers on three replicas that insist on creating a tag exactly one succeeds."""
    image = random_image()
    everywhere.a.push_image(image)
    manifests = [
        changed(image.manifest, annotations={"org.example.pusher": f"{number}"})
        for number in range(3)
    ]
    for number in range(ROUNDS):
        tag = f"v{number}"

        answers = at_once(
            [
                partial(repository.put_manifest, manifest, tag, ("If-None-Match", "*"))
                for repository, manifest in zip(everywhere, manifests, strict=True)
            ]
        )

        statuses = [answer.status for answer in answers]
        assert sorted(statuses) == [201, 412, 412], statuses
        won = manifests[statuses.index(201)]
        for repository in everywhere:
            assert repository.get_manifest(tag).body == won.payload
            assert tag in tags_of(repository.tags())


def test_a_manifest_and_the_end_of_its_blob(everywhere: Everywhere) -> None:
    """A manifest pushed while its layer is deleted elsewhere is refused or has its layer."""
    a, b, c = everywhere
    for _ in range(ROUNDS):
        image = random_image()
        for blob in image.blobs:
            a.push_blob(blob)

        deleted, pushed = at_once(
            [
                partial(b.delete_blob, image.layers[0]),
                partial(c.put_manifest, image.manifest, "v1"),
            ]
        )

        assert pushed.status in {201, 400}, pushed
        if pushed.status == 400:
            assert deleted.status == 202
            assert a.get_manifest("v1").status == 404
        a.delete_manifest(image.manifest)


def test_many_push_the_same_tag(everywhere: Everywhere) -> None:
    """Everybody who moves a tag at the same time succeeds, and the tag is at one of them."""
    image = random_image()
    everywhere.a.push_image(image)
    for number in range(ROUNDS // 2):
        manifests = [
            changed(image.manifest, annotations={"org.example.pusher": f"{number}/{pusher}"})
            for pusher in range(4 * len(everywhere))
        ]

        def push(pusher: int, number: int = number, manifests: list[Content] = manifests) -> Answer:
            repository = everywhere[pusher % len(everywhere)]
            with Wire(repository.wire.base_url) as wire:
                mine = Repository(wire, repository.name)
                return mine.put_manifest(manifests[pusher], f"t{number}")

        answers = at_once([partial(push, pusher) for pusher in range(len(manifests))])

        assert {answer.status for answer in answers} == {201}, answers
        shown = {repository.get_manifest(f"t{number}").body for repository in everywhere}
        assert len(shown) == 1
        assert shown <= {manifest.payload for manifest in manifests}
        for manifest in manifests:
            assert everywhere.b.get_manifest(manifest).body == manifest.payload
