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
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import Repository
from tests.support.cluster import Cluster
from tests.support.grounds import SERVERS, ground
from tests.support.registry import MOORAGE, RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


FOLDER = Path(__file__).parent
PROGRAM = os.environ.get("CONFORMANCE_PROGRAM")
# Replicas are ours alone.
PARAMS = ("one",) if PROGRAM else ("one", "replicas")
# What is settled before anything is shared, what is long, what is said twice: with replicas only
# on demand.
LEFT_OUT = (
    "test_http",
    "test_media_types",
    "test_methods",
    "test_names",
    "test_negotiation",
    "test_old_suite_push",
)
LONG = ("test_ten_thousand_tags", "test_thousand_layers")
TWICE = "[replicas-sha512-"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `--replicas` does not ask for."""
    chosen = config.getoption("--replicas")

    def is_wanted(item: pytest.Item) -> bool:
        on_replicas = isinstance(item, pytest.Function) and "[replicas" in item.name
        if chosen == "all" or not on_replicas or item.path.parent != FOLDER:
            return True
        left_out = item.path.stem in LEFT_OUT or item.name.startswith(LONG) or TWICE in item.name
        return chosen == "some" and not left_out

    kept = [item for item in items if is_wanted(item)]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if not is_wanted(item)])
        items[:] = kept


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
        with ground(SERVERS, folder / "ground") as shared, Cluster(folder, shared) as cluster:
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
