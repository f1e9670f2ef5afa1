# SPDX-License-Identifier: Apache-2.0
"""What every test has: its options, and a start that does not depend on whose machine it is.

Fixtures of one family of tests live beside it. What holds for the whole run: no setting, proxy or
credential of the person reaches a test, time decides nothing, and no process outlives the run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_KILLS = 25


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
        "--seed",
        metavar="S",
        help="what tests/durability takes its random choices from (default: another each time)",
    )


def pytest_configure() -> None:
    """Take the person's settings out of the environment that tests and their programs inherit."""
    for name in list(os.environ):
        if name.startswith("REGISTRY_") or name.lower().endswith("_proxy"):
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


def children() -> dict[int, str]:
    """The running processes that this process started, with their command lines."""
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        for child in listing.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ")
            found[int(child)] = command.decode(errors="replace").strip()
    return found


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
