# SPDX-License-Identifier: Apache-2.0
"""Three replicas on every ground there is, and connections to each of them.

The directed tests share one cluster for each ground; every test gets a repository of its own.
"""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.conformance.verbs import Repository
from tests.support.cluster import Cluster
from tests.support.grounds import GROUNDS, ground
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


class Everywhere(NamedTuple):
    """One repository as each of the three replicas shows it."""

    a: Repository
    b: Repository
    c: Repository


@pytest.fixture(scope="session", params=GROUNDS)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Three replicas that a test may not kill."""
    folder = tmp_path_factory.mktemp("cluster")
    with ground(request.param, folder / "ground") as shared, Cluster(folder, shared) as running:
        yield running
        assert "Traceback" not in running.logs, running.logs


@pytest.fixture
def name() -> str:
    """A repository name that nobody else uses."""
    return f"cluster/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def everywhere(cluster: Cluster, name: str) -> Iterator[Everywhere]:
    """The repository at each replica, past the balancer."""
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(url)) for url in cluster.urls]
        yield Everywhere(*(Repository(wire, name) for wire in wires))


@pytest.fixture
def balanced(cluster: Cluster, name: str) -> Iterator[Repository]:
    """The repository through the balancer: each request meets another replica."""
    with Wire(f"http://{cluster.host}") as wire:
        yield Repository(wire, name)
