# SPDX-License-Identifier: Apache-2.0
"""A catalogue of some images, and an empty PostgreSQL database for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.moving.catalogues import Catalogue, Move

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer

IMAGES = 40


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """A SQLite catalogue that nobody serves from."""
    made = Catalogue(tmp_path / "moorage.db")
    made.make(IMAGES)
    return made


@pytest.fixture
def move(catalogue: Catalogue, postgres_server: PostgresServer, postgres_database: str) -> Move:
    """A move of that catalogue which nobody has begun."""
    return Move(catalogue, postgres_server.url(postgres_database))
