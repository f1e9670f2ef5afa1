# SPDX-License-Identifier: Apache-2.0
"""The new OCI suite's data sets: push, list, head, pull, referrers and delete of each.

Every set is run with sha256 and with sha512. A tag cannot say which algorithm it wants, so in
sha512 tags are pushed as tag parameters (end-7b), as the suite does in its set `tag-param-sha512`;
its sets `sha512` and `tag-param-*` are therefore `sha512-index` and `*-tag-param` here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.conformance.data_sets import BUILDERS, DataSet, build
from tests.conformance.verbs import (
    ALGORITHMS,
    Repository,
    assert_error,
    assert_pullable,
    manifests_of,
    tags_of,
)
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.images import Content
    from tests.support.registry import RunningRegistry
    from tests.support.wire import Answer

every_good_set = pytest.mark.parametrize("row", BUILDERS)
both_algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


@pytest.fixture
def data(row: str, algorithm: str) -> DataSet:
    """The data set of this row."""
    return build(row, algorithm)


@pytest.fixture
def repository(
    row: str, registry: RunningRegistry, request: pytest.FixtureRequest, name: str
) -> Iterator[Repository]:
    """An empty repository; the sparse set has one where absent layers are allowed."""
    chosen: RunningRegistry = (
        request.getfixturevalue("sparse_registry") if row == "sparse" else registry
    )
    with Wire(f"http://{chosen.host}") as wire:
        yield Repository(wire, name)


def push(repository: Repository, data: DataSet, row: str) -> list[Answer]:
    """Push the set as the suite does; return the answers to the manifests."""
    for blob in data.blobs.values():
        repository.push_blob(blob)
    by_parameter = row == "tag-param" or data.algorithm != "sha256"
    answers = []
    for manifest in data.manifests:
        tags = [tag for tag, target in data.tags.items() if target is manifest]
        answers.append(
            repository.put_manifest(
                manifest, tags=tags if by_parameter else (), chunked=len(manifest.payload) > 10**6
            )
        )
        if not by_parameter:
            answers.extend(repository.put_manifest(manifest, tag) for tag in tags)
    return answers


def references(data: DataSet) -> list[tuple[str, Content]]:
    """Every tag and every digest, with the manifest that is found there."""
    by_digest = [(manifest.digest, manifest) for manifest in data.manifests]
    return [*data.tags.items(), *by_digest]


@every_good_set
@both_algorithms
def test_push(repository: Repository, data: DataSet, row: str) -> None:
    """Every manifest is created, with a Location that serves it and the digest that was given."""
    answers = push(repository, data, row)

    assert [answer.status for answer in answers] == [201] * len(answers), answers
    known = {manifest.digest: manifest for manifest in data.manifests}
    for answer in answers:
        manifest = known[answer.headers["Docker-Content-Digest"]]
        assert repository.wire.get(answer.location).body == manifest.payload
        assert answer.headers["Content-Length"] == "0"


@every_good_set
@both_algorithms
def test_push_by_tag_parameter(repository: Repository, data: DataSet) -> None:
    """Tags given as parameters are all there, and the answer names each."""
    push(repository, data, "tag-param")

    answer = repository.put_manifest(data.manifests[-1], tags=["1.2.3", "1.2", "latest"])

    assert answer.status == 201, answer
    named = ",".join(answer.headers.get_all("OCI-Tag")).replace(" ", "").split(",")
    assert sorted(named) == ["1.2", "1.2.3", "latest"]
    for tag in named:
        assert (
            repository.head_manifest(tag).headers["Docker-Content-Digest"]
            == data.manifests[-1].digest
        )


@every_good_set
@both_algorithms
def test_tag_list(repository: Repository, data: DataSet, row: str) -> None:
    """The list has exactly the tags, in order, and begins after `last` when asked to."""
    push(repository, data, row)
    expected = sorted(data.tags)

    assert tags_of(repository.tags()) == expected
    for number, tag in enumerate(expected, 1):
        assert tags_of(repository.tags(last=tag)) == expected[number:]
        assert tags_of(repository.tags(n=number)) == expected[:number]


@every_good_set
@both_algorithms
def test_head(repository: Repository, data: DataSet, row: str) -> None:
    """HEAD by tag and by digest has type, length and digest, and no body."""
    push(repository, data, row)

    for reference, manifest in references(data):
        answer = repository.head_manifest(reference)
        assert (answer.status, answer.body) == (200, b""), answer
        assert_describes(answer, manifest)


@every_good_set
@both_algorithms
def test_pull(repository: Repository, data: DataSet, row: str) -> None:
    """GET by tag and by digest gives the very bytes that were pushed; so do the blobs."""
    push(repository, data, row)

    for reference, manifest in references(data):
        answer = repository.get_manifest(reference)
        assert answer.status == 200, answer
        assert answer.body == manifest.payload
        assert_describes(answer, manifest)
    for blob in data.blobs.values():
        assert_pullable(repository, blob)


def assert_describes(answer: Answer, manifest: Content) -> None:
    """The headers that every client reads."""
    assert answer.headers.get_all("Content-Type") == [manifest.media_type]
    assert answer.headers["Content-Length"] == str(manifest.size)
    assert answer.headers["Docker-Content-Digest"] == manifest.digest


@every_good_set
@both_algorithms
def test_referrers(repository: Repository, data: DataSet, row: str) -> None:
    """Each subject lists its referrers, all or of one type; nothing else has any."""
    push(repository, data, row)

    for subject, expected in data.referrers.items():
        assert by_digest(manifests_of(repository.referrers(subject))) == by_digest(expected)
        for kind in {str(descriptor["artifactType"]) for descriptor in expected}:
            answer = repository.referrers(subject, artifactType=kind)
            assert answer.headers["OCI-Filters-Applied"] == "artifactType"
            assert by_digest(manifests_of(answer)) == by_digest(
                [item for item in expected if item["artifactType"] == kind]
            )
    for manifest in data.manifests:
        if manifest.digest not in data.referrers:
            assert manifests_of(repository.referrers(manifest)) == []


def by_digest(descriptors: list[dict[str, object]]) -> list[dict[str, object]]:
    """The descriptors in an order of their own."""
    return sorted(descriptors, key=lambda descriptor: str(descriptor["digest"]))


@every_good_set
@both_algorithms
def test_subject_header(repository: Repository, data: DataSet, row: str) -> None:
    """OCI-Subject is sent for a manifest with a subject, and only then."""
    answers = push(repository, data, row)

    subjects = {
        str(item["digest"]): subject for subject, found in data.referrers.items() for item in found
    }
    for answer in answers:
        digest = answer.headers["Docker-Content-Digest"]
        assert answer.headers.get("OCI-Subject") == subjects.get(digest)


@every_good_set
@both_algorithms
def test_delete(repository: Repository, data: DataSet, row: str) -> None:
    """Tags, manifests (parents first) and blobs are deleted, each at once."""
    push(repository, data, row)

    for tag, manifest in data.tags.items():
        assert repository.delete_manifest(tag).status == 202
        assert repository.head_manifest(tag).status == 404
        assert repository.head_manifest(manifest).status == 200
    for manifest in reversed(data.manifests):
        assert repository.delete_manifest(manifest).status == 202
        assert repository.head_manifest(manifest).status == 404
    for blob in data.blobs.values():
        assert repository.delete_blob(blob).status == 202
        assert repository.head_blob(blob).status == 404
    assert tags_of(repository.tags()) == []
    for subject in data.referrers:
        assert manifests_of(repository.referrers(subject)) == []


@pytest.mark.parametrize("row", ["bad-digest-image"])
@both_algorithms
def test_bad_digest(repository: Repository, algorithm: str) -> None:
    """A manifest that does not hash to the digest it is put at is refused and not there."""
    data = build("image", algorithm)
    for blob in data.blobs.values():
        repository.push_blob(blob)
    manifest = data.manifests[0]

    spoiled = replace(manifest, payload=manifest.payload + b"  ")
    answer = repository.put_manifest(spoiled, manifest.digest)

    assert_error(answer, 400, "DIGEST_INVALID")
    assert repository.head_manifest(manifest).status == 404
    assert repository.head_manifest(spoiled).status == 404
