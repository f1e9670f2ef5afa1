# SPDX-License-Identifier: Apache-2.0
"""Several clients at the same thing at the same time: one session, one tag, one blob."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.conformance.verbs import Repository, assert_pullable, manifests_of, tags_of
from tests.support.images import index, random_blob, random_image
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wire import Answer

CLIENTS = 8


def together(repository: Repository, act: Callable[[Repository, int], Answer]) -> list[Answer]:
    """What several clients, each on its own connection, are answered."""

    def one(number: int) -> Answer:
        with Wire(repository.wire.base_url) as wire:
            return act(Repository(wire, repository.name), number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(CLIENTS)))


def test_one_session(repository: Repository) -> None:
    """Of several first chunks one is taken; the others are told where the session is."""
    blob = random_blob(200_000)
    location = repository.open()

    answers = together(
        repository, lambda client, _: client.chunk(location, blob.payload[:100_000], 0)
    )

    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] == 202
    assert set(statuses[1:]) <= {409, 416}, statuses
    assert repository.wire.get(location).headers["Range"] == "0-99999"
    assert repository.chunk(location, blob.payload[100_000:], 100_000).status == 202
    assert repository.close(location, blob.digest).status == 201
    assert_pullable(repository, blob)


def test_one_blob(repository: Repository) -> None:
    """Several clients that push the same blob all succeed."""
    blob = random_blob(100_000)

    answers = together(repository, lambda client, _: client.push_blob(blob))

    assert [answer.status for answer in answers] == [201] * CLIENTS
    assert_pullable(repository, blob)


def test_one_tag(repository: Repository) -> None:
    """Several manifests pushed to one tag: it is one of them, and all are there by digest."""
    manifests = [index([], annotations={"n": str(number)}) for number in range(CLIENTS)]

    answers = together(
        repository, lambda client, number: client.push_manifest(manifests[number], "v1")
    )

    assert [answer.status for answer in answers] == [201] * CLIENTS
    assert repository.get_manifest("v1").body in {manifest.payload for manifest in manifests}
    assert all(repository.get_manifest(manifest).status == 200 for manifest in manifests)
    assert tags_of(repository.tags()) == ["v1"]


def test_one_new_tag(repository: Repository) -> None:
    """Of several clients that insist on creating the tag exactly one does."""
    manifests = [index([], annotations={"n": str(number)}) for number in range(CLIENTS)]
    absent = ("If-None-Match", "*")

    answers = together(
        repository, lambda client, number: client.put_manifest(manifests[number], "v1", absent)
    )

    statuses = [answer.status for answer in answers]
    assert sorted(statuses) == [201] + [412] * (CLIENTS - 1)
    winner = manifests[statuses.index(201)]
    assert repository.get_manifest("v1").body == winner.payload


def test_one_subject(repository: Repository) -> None:
    """Signatures that arrive together are all listed."""
    subject = random_image().manifest.descriptor()
    manifests = [index([], subject=subject, annotations={"n": str(n)}) for n in range(CLIENTS)]

    together(repository, lambda client, number: client.push_manifest(manifests[number]))

    found = manifests_of(repository.referrers(str(subject["digest"])))
    assert {item["digest"] for item in found} == {manifest.digest for manifest in manifests}
    assert len(found) == CLIENTS
