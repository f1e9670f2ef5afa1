# SPDX-License-Identifier: Apache-2.0
"""What every test has: its options, and a start that does not depend on whose machine it is.

Fixtures of one family of tests live beside it. What holds for the whole run: no setting, proxy or
credential of the person reaches a test, time decides nothing, and no process outlives the run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.engines import Engine, PostgresEngine, SQLiteEngine
from tests.support.object_servers import Kind, ObjectServer, object_server
from tests.support.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_KILLS = 25
DEFAULT_CLUSTER_SECONDS = 8.0
# Settings and credentials of programs and libraries that tests start or use.
PERSONAL = ("AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "MOTO_", "PG", "REGISTRY_", "VGW_")
SERVICES: dict[Kind, str] = {"s3": "S3", "azure": "Azure", "gcs": "Google Cloud Storage"}
SERVERS_USED = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of our own."""
    parser.addoption(
        "--kills",
        type=int,
        default=DEFAULT_KILLS,
        metavar="N",
        help="how often tests/durability kills a registry that is being pushed to (default 25)",
    )
    parser.addoption(
        "--replicas",
        choices=("none", "some", "all"),
        default="some",
        help="how many of tests/conformance run against three replicas too (default some)",
    )
    parser.addoption(
        "--cluster-seconds",
        type=float,
        default=DEFAULT_CLUSTER_SECONDS,
        metavar="N",
        help="how long tests/cluster breaks replicas under clients (default 8, on each ground)",
    )
    parser.addoption(
        "--upload-megabytes",
        type=int,
        default=12,
        metavar="N",
        help="how much each of fifty clients pushes in the test of memory (default 12)",
    )
    parser.addoption(
        "--seed",
        metavar="S",
        help="what tests/durability and tests/cluster take their random choices from (default: "
        "another each time)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take the person's settings out of the environment that tests and their programs inherit."""
    config.stash[SERVERS_USED] = {}
    for name in list(os.environ):
        if name.startswith(PERSONAL) or name.lower().endswith("_proxy"):
            del os.environ[name]
    # A slow machine is no reason to fail, and a failure in CI must fail again at home.
    settings.register_profile(
        "moorage",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize="CI" in os.environ,
        print_blob=True,
    )
    settings.load_profile("moorage")


@pytest.fixture(scope="session")
def kills(pytestconfig: pytest.Config) -> int:
    """How often a durability test kills its registry: `--kills N`."""
    count: int = pytestconfig.getoption("--kills")
    return count


def started(
    kind: Kind, config: pytest.Config, folders: pytest.TempPathFactory
) -> Iterator[ObjectServer]:
    """A server of this kind for the tests of this process, or a skip that says what is missing."""
    server = object_server(kind, folders.mktemp(f"server-{kind}"))
    used = config.stash[SERVERS_USED]
    if isinstance(server, str):
        used[SERVICES[kind]] = f"skipped, {server}"
        pytest.skip(server)
    used[SERVICES[kind]] = server.name
    with server:
        yield server


@pytest.fixture(scope="session")
def s3_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ObjectServer]:
    """A server that speaks S3."""
    yield from started("s3", pytestconfig, tmp_path_factory)


@pytest.fixture(scope="session")
def azure_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ObjectServer]:
    """A server that speaks Azure Blob Storage."""
    yield from started("azure", pytestconfig, tmp_path_factory)


@pytest.fixture(scope="session")
def gcs_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ObjectServer]:
    """A server that speaks Google Cloud Storage."""
    yield from started("gcs", pytestconfig, tmp_path_factory)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist: tell the process that prints the summary what was used."""
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["servers"] = session.config.stash[SERVERS_USED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Learn from a worker of pytest-xdist that has ended what its tests ran against."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[SERVERS_USED].update(output.get("servers", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which servers the tests of object stores ran against."""
    for service, server in sorted(config.stash[SERVERS_USED].items()):
        terminalreporter.write_line(f"{service}: {server}")


def children() -> dict[int, str]:
    """The running processes that this process started, with their command lines."""
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        for child in listing.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ")
            found[int(child)] = command.decode(errors="replace").strip()
    return found


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server, started when the first test asks for it."""
    server = PostgresServer.make()
    yield server
    server.remove()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a fresh database with the current schema."""
    name = postgres_server.new_database()
    yield name
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each database engine in turn."""
    if request.param == "sqlite":
        return SQLiteEngine()
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return PostgresEngine(server, request.getfixturevalue("postgres_database"))


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """The run fails if a test has not ended a process that it started."""
    before = children()
    yield
    left = {
        child: command
        for child, command in children().items()
        # A finished one has no command line; multiprocessing's tracker ends with this process.
        if command and child not in before and "resource_tracker" not in command
    }
    assert not left, f"processes that no test ended: {left}"
