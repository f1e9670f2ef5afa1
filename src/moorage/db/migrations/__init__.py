# SPDX-License-Identifier: Apache-2.0
"""The numbered schema changes, `NNNN_name.sql`, applied in order and never edited once released."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    statements: tuple[str, ...]


class SchemaTooNew(Exception):
    """The database was written by a newer Moorage than this one."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"it has schema version {found}, and this program knows versions up to {known}: "
            "run the newer Moorage that wrote it, or restore an older database"
        )


def all_migrations() -> tuple[Migration, ...]:
    """Every migration in the package, oldest first."""
    found = []
    for file in resources.files(__name__).iterdir():
        if match := FILE_NAME.fullmatch(file.name):
            text = _COMMENT.sub("", file.read_text("utf-8"))
            statements = tuple(part.strip() for part in text.split(";") if part.strip())
            found.append(Migration(int(match[1]), file.name.removesuffix(".sql"), statements))
    return tuple(sorted(found, key=lambda migration: migration.version))


def pending(current: int) -> tuple[Migration, ...]:
    """The migrations that a database at version `current` still needs.

    Raises:
        SchemaTooNew: the database is ahead of this program.
    """
    migrations = all_migrations()
    newest = migrations[-1].version
    if current > newest:
        raise SchemaTooNew(current, newest)
    return tuple(migration for migration in migrations if migration.version > current)
