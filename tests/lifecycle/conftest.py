# SPDX-License-Identifier: Apache-2.0
"""A registry with something in it, served or not, and the commands for it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Commands
from tests.support.images import Image, push_image, random_image
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Stocked:
    """A running registry with an image in two repositories."""

    registry: RunningRegistry
    wire: Wire
    image: Image

    @property
    def commands(self) -> Commands:
        """The commands for its data."""
        return Commands.of(self.registry)

    def blob_file(self, digest: str) -> Path:
        """The one file that holds a blob."""
        algorithm, _, encoded = digest.partition(":")
        (file,) = (self.registry.root / "blobs" / algorithm).glob(f"??/{encoded}.*")
        return file

    def change(self, sql: str, *arguments: object) -> None:
        """Do something to the database behind the registry's back."""
        with sqlite3.connect(self.registry.root / "moorage.db") as connection:
            assert connection.execute(sql, arguments).rowcount > 0
        connection.close()

    def events(self, action: str) -> list[tuple[str, str]]:
        """Repository and target of each event of this kind."""
        with sqlite3.connect(self.registry.root / "moorage.db") as connection:
            rows = connection.execute(
                "SELECT repository, target FROM events WHERE action = ? ORDER BY seq", (action,)
            ).fetchall()
        connection.close()
        return rows


@pytest.fixture
def stocked(tmp_path: Path) -> Iterator[Stocked]:
    """The same image as team/app:1.0 and base:1.0."""
    image = random_image(layers=2)
    with (
        RunningRegistry(tmp_path / "registry") as running,
        Wire(f"http://{running.host}") as wire,
    ):
        for name in ("team/app", "base"):
            push_image(wire, name, image, "1.0")
        yield Stocked(running, wire, image)
