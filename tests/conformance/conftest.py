# SPDX-License-Identifier: Apache-2.0
"""The registries that the conformance tests speak to, one process for each configuration.

Every test gets a repository name of its own, so tests share a registry and nothing else and may run
in any order. CONFORMANCE_PROGRAM="docker-registry serve" runs the same tests against another
registry that reads distribution's configuration file, for a second opinion.
"""

from __future__ import annotations

import os
import shlex
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import Repository
from tests.support.cluster import Cluster, files
from tests.support.registry import MOORAGE, RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


PROGRAM = os.environ.get("CONFORMANCE_PROGRAM")
# Replicas are ours alone.
PARAMS = ("one",) if PROGRAM else ("one", "replicas")


def program() -> Sequence[str]:
    """The command that serves a configuration file."""
    return shlex.split(PROGRAM) if PROGRAM else MOORAGE


def serve(
    factory: pytest.TempPathFactory, name: str, config: Mapping[str, object]
) -> Iterator[RunningRegistry]:
    """A registry with this configuration, ended with the session."""
    with RunningRegistry(factory.mktemp(name), config, program=program()) as running:
        yield running


@pytest.fixture(scope="session", params=PARAMS)
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRegistry | Cluster]:
    """The default configuration, in one process and in three behind a balancer without memory."""
    if request.param == "one":
        yield from serve(tmp_path_factory, "registry", {})
    else:
        folder = tmp_path_factory.mktemp("replicas")
        with Cluster(folder, files(folder / "data")) as cluster:
            yield cluster


@pytest.fixture(scope="session")
def sparse_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that takes a manifest whose layers were never pushed."""
    yield from serve(tmp_path_factory, "sparse", {"validation": {"disabled": True}})


@pytest.fixture(scope="session")
def undeletable_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry in which deletes are switched off."""
    yield from serve(tmp_path_factory, "undeletable", {"storage": {"delete": {"enabled": False}}})


@pytest.fixture(scope="module")
def quiet_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry of this module's own, for lists that other tests would disturb."""
    yield from serve(tmp_path_factory, "quiet", {})


@pytest.fixture
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry of this test's own, with nothing in it."""
    yield from serve(tmp_path_factory, "empty", {})


@pytest.fixture
def wire(registry: RunningRegistry) -> Iterator[Wire]:
    """A fresh connection to the default registry."""
    with Wire(f"http://{registry.host}") as client:
        yield client


@pytest.fixture
def name() -> str:
    """A repository name that nobody else uses."""
    return f"conformance/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def repository(wire: Wire, name: str) -> Repository:
    """A repository that does not exist yet, in the default registry."""
    return Repository(wire, name)
