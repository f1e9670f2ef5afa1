# SPDX-License-Identifier: Apache-2.0
"""Paths and what they name: a repository may be called by any word that paths are made of."""

from __future__ import annotations

from itertools import product

import pytest

from moorage.distribution.routes import ROUTES, match

DIGEST = "sha256:" + "0" * 64
SESSION = "6b3c9a93-af5d-473f-a4ef-9710022185cd"
# Every word of the table, alone and where it can be mistaken for a part of the path.
WORDS = ("a", "blobs", "uploads", "manifests", "tags", "list", "referrers", "v2")
NAMES = [
    *WORDS,
    *(f"{first}/{second}" for first, second in product(WORDS, repeat=2)),
    "a/blobs/uploads",
    "blobs/uploads/blobs",
    "a/tags/list",
    "tags/list/tags",
    "v2/a/manifests/latest",
]
RESOURCES = {
    f"manifests/{DIGEST}": DIGEST,
    "manifests/latest": "latest",
    "manifests/list": "list",
    "manifests/uploads": "uploads",
    "manifests/blobs": "blobs",
    f"blobs/{DIGEST}": DIGEST,
    "blobs/uploads/": "",
    "blobs/uploads": "",
    f"blobs/uploads/{SESSION}": SESSION,
    "blobs/uploads/list": "list",
    "blobs/uploads/uploads": "uploads",
    "tags/list": "",
    f"referrers/{DIGEST}": DIGEST,
}


@pytest.mark.parametrize("name", NAMES)
def test_names_may_be_made_of_the_words_of_paths(name: str) -> None:
    """Whatever the repository is called, the path names the resource at its end."""
    for resource, argument in RESOURCES.items():
        found = match(f"/v2/{name}/{resource}")

        assert found is not None, resource
        assert (found.repository, found.argument) == (name, argument), resource
        word = resource.partition("/")[0]
        for route in found.operations.values():
            assert f"/{word}/" in route.path, resource


@pytest.mark.parametrize(
    "path",
    [
        "/v2/manifests/latest",
        "/v2//manifests/latest",
        f"/v2/blobs/{DIGEST}",
        "/v2/blobs/uploads",
        "/v2/blobs/uploads/",
        f"/v2/blobs/uploads/{SESSION}",
        "/v2//blobs/uploads/",
        "/v2/tags/list",
        f"/v2/referrers/{DIGEST}",
        "/v2/a",
        "/v2/a/manifests",
        "/v2/a/manifests/",
        "/v2/a/blobs/",
        "/v2/a/tags/list/",
        "/v2/a/referrers/",
        "/v2/_catalog/a",
        "/v2/_oci/ext/other",
        "/",
        "",
    ],
)
def test_what_names_nothing(path: str) -> None:
    """A path without a repository, or without what it should name in it, is no resource."""
    assert match(path) is None


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/_catalog", "/v2/_catalog/"])
def test_the_registry_itself(path: str) -> None:
    """What is asked of the registry as a whole has no repository, slash or not."""
    found = match(path)

    assert found is not None
    assert found.repository == ""


def test_every_row_is_reachable() -> None:
    """Each row of the table is found by its own path and method."""
    for route in ROUTES:
        path = route.path.replace("<name>", "a/b").replace("<session>", SESSION)
        path = path.replace("<digest>", DIGEST).replace("<reference>", "latest")

        found = match(path)

        assert found is not None, route.path
        assert found.operations[route.method] is route


def test_what_can_be_read_can_be_asked_about() -> None:
    """HEAD exists wherever GET does, with the same permission."""
    for route in ROUTES:
        if route.method == "GET":
            path = route.path.replace("<", "").replace(">", "")
            found = match(path)
            assert found is not None
            assert found.operations["HEAD"].permission == route.permission


def test_only_reads_are_left_to_a_read_only_registry() -> None:
    """GET and HEAD read; every other method has an effect that can be switched off."""
    for route in ROUTES:
        assert (route.effect == "read") == (route.method in {"GET", "HEAD"}), route
