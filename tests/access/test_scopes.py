# SPDX-License-Identifier: Apache-2.0
"""Scopes of the token protocol."""

from __future__ import annotations

import pytest

from moorage.access.scopes import Scope, needed_scope, parse_scopes
from moorage.spec.names import parse_repository

REPOSITORY = parse_repository("a/b")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([""], []),
        (["repository:a/b:pull"], ["repository:a/b:pull"]),
        (["repository:a/b:push,pull"], ["repository:a/b:pull,push"]),
        (["repository:a/b:*"], ["repository:a/b:pull,push,delete"]),
        (["repository(plugin):a/b:pull"], ["repository:a/b:pull"]),
        (["repository:a:pull repository:b:pull"], ["repository:a:pull", "repository:b:pull"]),
        (["repository:a:pull", "repository:a:push"], ["repository:a:pull,push"]),
        (["registry:catalog:*"], ["registry:catalog:*"]),
        (["registry:catalog:read"], []),
        (["registry:other:*"], []),
        (["repository:a/b:fly"], []),
        (["repository:a/b:"], []),
        (["repository:a/b"], []),
        (["repository"], []),
        (["repository:A/B:pull"], []),
        (["repository:../b:pull"], []),
        (["repository:host.example:5000/a:pull"], []),
        (["warehouse:a:pull"], []),
    ],
)
def test_parse(values: list[str], expected: list[str]) -> None:
    """Repeated and spaced scopes merge by resource, and what makes no sense is dropped."""
    assert expected == [str(scope) for scope in parse_scopes(values)]


@pytest.mark.parametrize(
    ("scope", "action", "repository", "expected"),
    [
        (Scope("repository", "a/b", ("pull",)), "pull", REPOSITORY, True),
        (Scope("repository", "a/b", ("pull",)), "push", REPOSITORY, False),
        (Scope("repository", "a", ("pull",)), "pull", REPOSITORY, False),
        (Scope("repository", "a/b", ("push",)), "push", REPOSITORY, True),
        (Scope("registry", "catalog", ("catalog",)), "catalog", None, True),
        (Scope("repository", "catalog", ("pull",)), "catalog", None, False),
        (Scope("registry", "catalog", ("catalog",)), "pull", REPOSITORY, False),
    ],
)
def test_covers(scope: Scope, action: str, repository: str | None, *, expected: bool) -> None:
    """A scope covers its own actions on its own resource and nothing else."""
    assert scope.covers(action, repository) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("pull", "repository:a/b:pull"),
        ("push", "repository:a/b:pull,push"),
        ("delete", "repository:a/b:pull,delete"),
    ],
)
def test_needed_scope(action: str, expected: str) -> None:
    """The challenge names what the action needs; whoever writes may also read."""
    assert str(needed_scope(action, REPOSITORY)) == expected  # type: ignore[arg-type]


def test_needed_scope_of_the_catalog() -> None:
    """The catalog has the scope that all clients know."""
    assert str(needed_scope("catalog", None)) == "registry:catalog:*"
