# SPDX-License-Identifier: Apache-2.0
"""The registries that are attacked. After each test they must be unharmed, whatever it did."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.conformance.verbs import Repository
from tests.hostile.victim import Victim
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def patient_victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A registry with the default limits."""
    with RunningRegistry(tmp_path_factory.mktemp("victim")) as running:
        yield Victim(running)


@pytest.fixture(scope="session")
def hasty_victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A registry that waits a second where others wait a minute, so that tests need not."""
    limits = {"headertimeout": "1s", "bodytimeout": "1s", "idletimeout": "1s"}
    with RunningRegistry(tmp_path_factory.mktemp("hasty"), {"limits": limits}) as running:
        yield Victim(running)


@pytest.fixture
def victim(patient_victim: Victim) -> Iterator[Victim]:
    """The registry with the default limits, unharmed before and after."""
    yield patient_victim
    patient_victim.assert_unharmed()


@pytest.fixture
def hasty(hasty_victim: Victim) -> Iterator[Victim]:
    """The registry that does not wait, unharmed before and after."""
    yield hasty_victim
    hasty_victim.assert_unharmed()


@pytest.fixture
def repository(victim: Victim) -> Iterator[Repository]:
    """A repository of the test's own in the registry with the default limits."""
    with Wire(victim.url) as wire:
        yield Repository(wire, f"hostile/{uuid.uuid4().hex[:12]}")
