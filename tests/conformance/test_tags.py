# SPDX-License-Identifier: Apache-2.0
"""Tags: several in one push (end-7b), and what moving one leaves as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import assert_error, tags_of
from tests.support.images import index

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository


@pytest.mark.parametrize("count", [1, 10, 64])
def test_tag_parameters(repository: Repository, count: int) -> None:
    """Many tags in one push, all there, each named in OCI-Tag."""
    tags = [f"tag-{number:03}" for number in range(count)]

    answer = repository.put_manifest(index([]), tags=tags)

    assert answer.status == 201, answer
    named = ",".join(answer.headers.get_all("OCI-Tag")).replace(" ", "").split(",")
    assert sorted(named) == tags
    assert tags_of(repository.tags()) == tags


def test_too_many_tags(repository: Repository) -> None:
    """More tags than the registry takes at once are a 414, and none of them is there."""
    answer = repository.put_manifest(index([]), tags=[f"t{number}" for number in range(65)])

    assert_error(answer, 414, "TAG_INVALID")
    assert repository.tags().status == 404


def test_tag_parameters_move_tags(repository: Repository) -> None:
    """A tag that is given as a parameter moves like any other; the rest stay."""
    old, new = index([]), index([], annotations={"a": "b"})
    repository.put_manifest(old, tags=["a", "b"])

    repository.put_manifest(new, tags=["b", "c", "b"])

    digests = {tag: repository.head_manifest(tag).headers["Docker-Content-Digest"] for tag in "abc"}
    assert digests == {"a": old.digest, "b": new.digest, "c": new.digest}


def test_tag_parameter_with_a_tag(repository: Repository) -> None:
    """Tag parameters belong to a push by digest; with a tag they are refused."""
    answer = repository.put_manifest(index([]), "v1", tags=["v2"])

    assert answer.status == 400, answer
    assert repository.tags().status == 404


def test_no_tag_header_without_parameters(repository: Repository) -> None:
    """A push by digest without parameters names no tag."""
    assert "OCI-Tag" not in repository.push_manifest(index([])).headers


def test_tag_moves(repository: Repository) -> None:
    """The same tag again moves it; the old manifest stays by its digest."""
    old, new = index([]), index([], annotations={"a": "b"})
    repository.push_manifest(old, "v1")
    repository.push_manifest(new, "v1")
    again = repository.push_manifest(new, "v1")

    assert again.headers["Docker-Content-Digest"] == new.digest
    assert repository.get_manifest("v1").body == new.payload
    assert repository.get_manifest(old).body == old.payload
    assert tags_of(repository.tags()) == ["v1"]
