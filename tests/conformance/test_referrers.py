# SPDX-License-Identifier: Apache-2.0
"""Referrers (end-12): types, filters, order of pushing, fallback tags of older clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.data_sets import TYPE_1, TYPE_2
from tests.conformance.verbs import (
    ALGORITHMS,
    Repository,
    assert_error,
    digests_of,
    manifests_of,
)
from tests.support.images import (
    EMPTY_CONFIG,
    OCI_INDEX,
    Content,
    artifact,
    image_manifest,
    index,
    random_blob,
    random_image,
)

if TYPE_CHECKING:
    from tests.support.images import Json


@pytest.fixture
def subject(repository: Repository) -> Content:
    """What is referred to; the empty config of artifacts is already there."""
    repository.push_blob(EMPTY_CONFIG)
    return random_image().manifest


def referrer(subject: Content, kind: str = TYPE_1, **more: str) -> Content:
    """An artifact of this type that refers to the subject."""
    return artifact(kind, subject=subject, annotations=more or None).manifest


def fallback_tag(subject: Content) -> str:
    """Where clients keep the list if a registry has no referrers API."""
    return subject.digest.replace(":", "-")[: len(subject.algorithm) + 1 + 64]


def test_every_field(repository: Repository, subject: Content) -> None:
    """A descriptor has type, digest, size, artifact type and the manifest's annotations."""
    manifest = referrer(subject, TYPE_1, a="1", b="2")

    answer = repository.push_manifest(manifest)

    assert answer.headers["OCI-Subject"] == subject.digest
    assert manifests_of(repository.referrers(subject)) == [
        manifest.descriptor(artifactType=TYPE_1, annotations={"a": "1", "b": "2"})
    ]


def test_type_of_the_config(repository: Repository, subject: Content) -> None:
    """An image without artifactType has its config's type."""
    config = random_blob(10, "application/x.config")
    repository.push_blob(config)
    manifest = image_manifest(config, [], subject=subject.descriptor())
    repository.push_manifest(manifest)

    assert manifests_of(repository.referrers(subject)) == [
        manifest.descriptor(artifactType="application/x.config")
    ]


def test_index_without_type(repository: Repository, subject: Content) -> None:
    """An index without artifactType has none in the list."""
    manifest = index([], subject=subject.descriptor())
    repository.push_manifest(manifest)

    assert manifests_of(repository.referrers(subject)) == [manifest.descriptor()]
    filtered = repository.referrers(subject, artifactType=TYPE_1)
    assert manifests_of(filtered) == []


FILTERS = [
    # (query, which of types 1 and 2, is a filter applied?)
    ({}, [TYPE_1, TYPE_2], False),
    ({"artifactType": TYPE_1}, [TYPE_1], True),
    ({"artifactType": [TYPE_1, TYPE_2]}, [TYPE_1, TYPE_2], True),
    ({"artifactType": [TYPE_2, "application/x.none"]}, [TYPE_2], True),
    ({"artifactType": "application/x.none"}, [], True),
    ({"artifactType": TYPE_1.upper()}, [], True),
    ({"artifactType": "application/vnd.%"}, [], True),
    ({"other": "x"}, [TYPE_1, TYPE_2], False),
]


@pytest.mark.parametrize(("query", "expected", "applied"), FILTERS)
def test_filter(
    repository: Repository,
    subject: Content,
    query: dict[str, object],
    expected: list[str],
    applied: object,
) -> None:
    """Only the types asked for are listed, and the header tells that it was so."""
    for kind in (TYPE_1, TYPE_2):
        repository.push_manifest(referrer(subject, kind))

    answer = repository.referrers(subject, **query)

    assert sorted(str(item["artifactType"]) for item in manifests_of(answer)) == expected
    assert answer.headers.get_all("OCI-Filters-Applied") == (["artifactType"] if applied else [])


def test_before_and_after(repository: Repository, subject: Content) -> None:
    """Whether a referrer comes before its subject or after it makes no difference."""
    image = random_image()
    first, second = (referrer(image.manifest, note=note) for note in "12")
    repository.push_manifest(first)
    repository.push_image(image, "v1")
    repository.push_manifest(second)

    found = digests_of(repository.referrers(image.manifest))
    assert sorted(found) == sorted([first.digest, second.digest])
    assert repository.delete_manifest(image.manifest).status == 202
    assert len(digests_of(repository.referrers(image.manifest))) == 2
    assert digests_of(repository.referrers(subject)) == []


def test_deleted_referrer(repository: Repository, subject: Content) -> None:
    """A deleted referrer is gone from the list at once, and back when it is pushed again."""
    manifest = referrer(subject)
    for _ in range(2):
        repository.push_manifest(manifest, "signature")
        assert digests_of(repository.referrers(subject)) == [manifest.digest]
        assert repository.delete_manifest(manifest).status == 202
        assert digests_of(repository.referrers(subject)) == []


def test_deleted_tag_keeps_referrer(repository: Repository, subject: Content) -> None:
    """A referrer that loses its tag still refers."""
    manifest = referrer(subject)
    repository.push_manifest(manifest, "signature")
    assert repository.delete_manifest("signature").status == 202

    assert digests_of(repository.referrers(subject)) == [manifest.digest]


def test_only_in_its_repository(repository: Repository, subject: Content) -> None:
    """Referrers are a matter of one repository."""
    repository.push_manifest(referrer(subject))

    assert digests_of(repository.sibling("other").referrers(subject)) == []


def test_referrer_of_a_referrer(repository: Repository, subject: Content) -> None:
    """A signature of a list of packages refers to that list only."""
    middle = referrer(subject)
    last = referrer(middle)
    for manifest in (last, middle):
        repository.push_manifest(manifest)

    assert digests_of(repository.referrers(subject)) == [middle.digest]
    assert digests_of(repository.referrers(middle)) == [last.digest]


def test_probe(repository: Repository) -> None:
    """A client that asks whether there are referrers at all gets an empty index."""
    answer = repository.referrers("sha256:" + "0" * 64)

    assert manifests_of(answer) == []


def test_no_subject_no_header(repository: Repository) -> None:
    """OCI-Subject is not sent for a manifest that refers to nothing."""
    assert "OCI-Subject" not in repository.push_manifest(index([])).headers


# -- the fallback tag: what clients wrote while a registry had no referrers API -----------------


def fallback(*descriptors: Json) -> Content:
    """The index that such a client keeps under the fallback tag."""
    return index(descriptors)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fallback_is_merged(repository: Repository, algorithm: str) -> None:
    """What an older client listed under the tag is listed, once, with what the registry knows."""
    image = random_image(algorithm=algorithm)
    repository.push_image(image)
    known = referrer(image.manifest, TYPE_1, note="known")
    # An artifact of an older client: it has no subject of its own.
    listed = artifact(TYPE_2).manifest
    repository.push_blob(EMPTY_CONFIG)
    for manifest in (known, listed):
        repository.push_manifest(manifest)
    descriptors = [
        known.descriptor(artifactType=TYPE_1, annotations={"note": "known"}),
        listed.descriptor(artifactType=TYPE_2),
    ]

    repository.push_manifest(fallback(*descriptors), fallback_tag(image.manifest))

    answer = repository.referrers(image.manifest)
    assert sorted(digests_of(answer)) == sorted([known.digest, listed.digest])
    filtered = repository.referrers(image.manifest, artifactType=TYPE_2)
    assert digests_of(filtered) == [listed.digest]


def test_fallback_is_an_ordinary_tag(repository: Repository, subject: Content) -> None:
    """Older clients can read, replace and delete the tag as before."""
    listed = artifact(TYPE_2).manifest
    repository.push_manifest(listed)
    tag = fallback_tag(subject)
    first, second = fallback(listed.descriptor(artifactType=TYPE_2)), fallback()

    repository.push_manifest(first, tag)
    assert repository.get_manifest(tag).body == first.payload
    assert digests_of(repository.referrers(subject)) == [listed.digest]
    repository.push_manifest(second, tag)
    assert digests_of(repository.referrers(subject)) == []
    assert repository.delete_manifest(tag).status == 202
    assert repository.get_manifest(tag).status == 404


def test_fallback_tag_of_something_else(repository: Repository, subject: Content) -> None:
    """An image under such a tag (a client's whim) lists nothing and breaks nothing."""
    image = random_image()
    repository.push_image(image, fallback_tag(subject))
    own = referrer(subject)
    repository.push_manifest(own)

    assert digests_of(repository.referrers(subject)) == [own.digest]


def test_fallback_names_what_is_gone(repository: Repository, subject: Content) -> None:
    """An entry of the fallback tag whose manifest was deleted does not come back."""
    listed = artifact(TYPE_2).manifest
    repository.push_manifest(listed)
    repository.push_manifest(
        fallback(listed.descriptor(artifactType=TYPE_2)), fallback_tag(subject)
    )
    assert repository.delete_manifest(listed).status == 202

    answer = repository.referrers(subject)

    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == OCI_INDEX
    assert digests_of(answer) == []


@pytest.mark.parametrize("digest", ["latest", "sha256:bad", "sha256", "md5:" + "a" * 32])
def test_bad_subject(repository: Repository, digest: str) -> None:
    """What is no digest has no list."""
    assert_error(repository.referrers(digest), 400, "DIGEST_INVALID")
