# SPDX-License-Identifier: Apache-2.0
"""Registries that the transfers go between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Commands
from tests.support.registry import RunningRegistry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> RunningRegistry:
    """A registry that has nothing yet and is not running."""
    return RunningRegistry(tmp_path / "registry")


@pytest.fixture
def commands(registry: RunningRegistry) -> Commands:
    """The commands for that registry."""
    return Commands.of(registry)
