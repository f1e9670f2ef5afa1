# SPDX-License-Identifier: Apache-2.0
"""Lists and their pages: tags (end-8), catalog, referrers (end-12); edges, order, great length."""

from __future__ import annotations

import concurrent.futures
import uuid
from typing import TYPE_CHECKING, cast

import pytest

from tests.conformance.data_sets import TYPE_1, TYPE_2
from tests.conformance.verbs import (
    Repository,
    assert_error,
    digests_of,
    next_page,
    question,
    tags_of,
)
from tests.support.images import EMPTY_CONFIG, artifact, image_manifest, index, random_image
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.images import Content, Json
    from tests.support.registry import RunningRegistry
    from tests.support.wire import Answer

FOUR_MIB = 4 * 1024 * 1024

# Bytewise order: upper case before lower, digits before letters, "_" between the cases.
ORDERED = [
    "0",
    "1.10",
    "1.9",
    "A",
    "Latest",
    "Z",
    "_",
    "a",
    "a-b",
    "a.b",
    "a_b",
    "b",
    "latest",
    "z",
]


@pytest.fixture
def tagged(repository: Repository) -> Repository:
    """A repository with the ordered tags, pushed in another order."""
    repository.push_manifest(index([]))
    for tag in sorted(ORDERED, key=lambda tag: tag[::-1]):
        repository.push_manifest(index([]), tag)
    return repository


# (query, what comes, whether more is announced)
TAG_PAGES: list[tuple[dict[str, object], list[str], bool]] = [
    ({}, ORDERED, False),
    ({"n": 0}, [], False),
    ({"n": 1}, ORDERED[:1], True),
    ({"n": len(ORDERED) - 1}, ORDERED[:-1], True),
    ({"n": len(ORDERED)}, ORDERED, False),
    ({"n": 10**6}, ORDERED, False),
    ({"n": 10**30}, ORDERED, False),
    ({"n": "007"}, ORDERED[:7], True),
    ({"n": 3, "last": "A"}, ORDERED[4:7], True),
    ({"n": 3, "last": "absent"}, ORDERED[11:14], False),
    ({"n": 2, "last": "B"}, ORDERED[4:6], True),
    ({"n": 1, "last": "z"}, [], False),
    ({"last": "b"}, ORDERED[12:], False),
    ({"last": "zzz"}, [], False),
    ({"last": "a+b"}, ORDERED[8:], False),
    ({"last": "\u00e9"}, [], False),
    ({"last": ""}, ORDERED, False),
    ({"n": 0, "last": "a"}, [], False),
]


@pytest.mark.parametrize(
    ("query", "expected", "more"), TAG_PAGES, ids=[question(row[0]) or "all" for row in TAG_PAGES]
)
def test_tag_page(
    tagged: Repository, query: dict[str, object], expected: list[str], more: object
) -> None:
    """A page has exactly what is asked for, in byte order, and a link if there is more."""
    answer = tagged.tags(**query)

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {"name": tagged.name, "tags": expected}
    assert (next_page(answer) is not None) is more


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "1e3", "+1", " 1", "0x10", "\u0663", "-0"])
def test_page_size_that_is_no_number(tagged: Repository, n: str) -> None:
    """A page size that is no whole number is refused, in every list."""
    assert_error(tagged.tags(n=n), 400, "PAGINATION_NUMBER_INVALID")
    catalog = tagged.wire.get(f"/v2/_catalog{question({'n': n})}")
    assert_error(catalog, 400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize("size", [1, 4, 13, 14, 15])
def test_follow_the_links(tagged: Repository, size: int) -> None:
    """Following the links gives every tag once, in order, with no empty page at the end."""
    pages = list(follow(tagged.wire, tagged.tags(n=size)))

    assert [tag for page in pages for tag in tags_of(page)] == ORDERED
    assert len(pages) == -(-len(ORDERED) // size)
    assert all(len(tags_of(page)) == size for page in pages[:-1])


def follow(wire: Wire, answer: Answer) -> Iterator[Answer]:
    """The answer, and every page after it."""
    while True:
        yield answer
        target = next_page(answer)
        if target is None:
            return
        answer = wire.get(target)


def test_known_repository_without_tags(repository: Repository) -> None:
    """A repository that has lost its last tag has an empty list, not none."""
    repository.push_manifest(index([]), "v1")
    repository.delete_manifest("v1")

    assert repository.tags().json() == {"name": repository.name, "tags": []}


def test_ten_thousand_tags(repository: Repository) -> None:
    """10,000 tags come in one list, and again in order page by page."""
    expected = [f"tag-{number:05}" for number in range(10_000)]
    for first in range(0, len(expected), 50):
        answer = repository.put_manifest(index([]), tags=expected[first : first + 50])
        assert answer.status == 201, answer

    assert tags_of(repository.tags()) == expected
    pages = [tags_of(page) for page in follow(repository.wire, repository.tags(n=999))]
    assert [tag for page in pages for tag in page] == expected
    assert len(pages) == 11


def test_catalog(empty_registry: RunningRegistry) -> None:
    """The catalog lists every repository once, in byte order, by pages."""
    names = sorted(["a", "a-b", "a/b", "a/b/c", "a0", "b", "b/blobs/c", "x/manifests"])
    with Wire(f"http://{empty_registry.host}") as wire:
        assert wire.get("/v2/_catalog").json() == {"repositories": []}
        for name in reversed(names):
            Repository(wire, name).push_manifest(index([]), "v1")

        assert wire.get("/v2/_catalog").json() == {"repositories": names}
        assert wire.get("/v2/_catalog?n=0").json() == {"repositories": []}
        for size in (1, 3, 8, 10**9):
            pages = [
                cast("dict[str, list[str]]", page.json())["repositories"]
                for page in follow(wire, wire.get(f"/v2/_catalog?n={size}"))
            ]
            assert [name for page in pages for name in page] == names
            assert all(len(page) == size for page in pages[:-1])
        last = wire.get("/v2/_catalog?n=2&last=a%2Fb")
        assert last.json() == {"repositories": ["a/b/c", "a0"]}
        assert wire.get("/v2/_catalog?last=b").json() == {
            "repositories": ["b/blobs/c", "x/manifests"]
        }
        assert wire.get("/v2/_catalog?last=zzz").json() == {"repositories": []}
        assert wire.get("/v2/_catalog/").status in {200, 404}


def test_catalog_is_bounded_by_default(quiet_registry: RunningRegistry) -> None:
    """Without n a page has the usual hundred."""
    with Wire(f"http://{quiet_registry.host}") as wire:
        for number in range(101):
            Repository(wire, f"many/{number:03}").push_manifest(index([]), "v1")
        first = wire.get("/v2/_catalog?last=many")
        found = cast("dict[str, list[str]]", first.json())["repositories"]

    assert found == [f"many/{number:03}" for number in range(100)]
    assert next_page(first) is not None


def referrer(subject: Content, kind: str, note: str) -> Content:
    """A small artifact that refers to the subject."""
    annotations = {"note": note}
    return artifact(kind, subject=subject, annotations=annotations).manifest


@pytest.mark.parametrize("size", [1, 2, 3])
def test_referrer_pages(repository: Repository, size: int) -> None:
    """Referrers by pages: each once, the filter kept in the links."""
    subject = random_image().manifest
    repository.push_blob(EMPTY_CONFIG)
    pushed = [referrer(subject, kind, str(n)) for n in range(3) for kind in (TYPE_1, TYPE_2)]
    for manifest in pushed:
        repository.push_manifest(manifest)

    every = list(follow(repository.wire, repository.referrers(subject, n=size)))
    one = list(follow(repository.wire, repository.referrers(subject, n=size, artifactType=TYPE_1)))

    found = [digest for page in every for digest in digests_of(page)]
    assert sorted(found) == sorted(manifest.digest for manifest in pushed)
    found = [digest for page in one for digest in digests_of(page)]
    assert sorted(found) == sorted(manifest.digest for manifest in pushed[::2])
    assert all(page.headers["OCI-Filters-Applied"] == "artifactType" for page in one)
    assert not any("OCI-Filters-Applied" in page.headers for page in every)


def test_five_thousand_referrers(quiet_registry: RunningRegistry) -> None:
    """5,000 referrers with long annotations come in pages that clients still read (4 MiB)."""
    subject = random_image().manifest
    name = f"referrers/{uuid.uuid4().hex[:8]}"
    url = f"http://{quiet_registry.host}"
    note = "x" * 1000

    def push(first: int) -> list[str]:
        with Wire(url) as wire:
            here = Repository(wire, name)
            some = [referrer(subject, TYPE_1, f"{n} {note}") for n in range(first, first + 625)]
            for manifest in some:
                here.push_manifest(manifest)
            return [manifest.digest for manifest in some]

    with Wire(url) as wire:
        Repository(wire, name).push_blob(EMPTY_CONFIG)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            expected = {digest for some in pool.map(push, range(0, 5000, 625)) for digest in some}
        pages = list(follow(wire, Repository(wire, name).referrers(subject)))

    found = [digest for page in pages for digest in digests_of(page)]
    assert len(found) == len(set(found)) == 5000
    assert set(found) == expected
    assert max(len(page.body) for page in pages) <= FOUR_MIB
    assert len(pages) > 1


def test_one_huge_referrer(repository: Repository) -> None:
    """A referrer whose annotations fill nearly the limit alone is still listed, with others."""
    subject = random_image().manifest
    repository.push_blob(EMPTY_CONFIG)
    fields: Json = {"subject": subject.descriptor(), "annotations": {"a": "x" * 4_000_000}}
    manifests = [
        image_manifest(EMPTY_CONFIG, [], artifactType=kind, **fields)  # type: ignore[arg-type]
        for kind in ("application/x.a", "application/x.b", "application/x.c")
    ]
    for manifest in manifests:
        repository.push_manifest(manifest)

    pages = list(follow(repository.wire, repository.referrers(subject)))

    found = [digest for page in pages for digest in digests_of(page)]
    assert sorted(found) == sorted(manifest.digest for manifest in manifests)
    assert max(len(page.body) for page in pages) <= FOUR_MIB
