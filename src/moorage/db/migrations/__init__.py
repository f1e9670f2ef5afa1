# SPDX-License-Identifier: Apache-2.0
"""The numbered schema changes, `NNNN_name.sql`, applied in order and never edited once released.

A file whose first comment lines have `-- works with: NNNN` lets programs that know the schema up to
that version go on with what it makes, and start on it; without the line no older program can. Each
applied migration leaves a row in the table `SCHEMA` that says so to programs that do not have the
file. Invariant: a program never opens a schema that is newer than itself without that row.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from importlib import resources

FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_COMMENT = re.compile(r"--[^\n]*")
_FIRST_LINES = re.compile(r"(?:\s*--[^\n]*\n)*")
_WORKS_WITH = re.compile(r"^\s*-- works with: (\d{4})$", re.MULTILINE)

# The table of what was applied. It belongs to the engines, not to the catalogue.
SCHEMA = "moorage_schema"
# The version of a started database, whichever engine it is of.
VERSION = f"SELECT coalesce(max(version), 0) FROM {SCHEMA}"  # noqa: S608 (a table of ours)

logger = logging.getLogger("moorage.db")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; `works_with` is the oldest version whose programs can go on."""

    version: int
    name: str
    statements: tuple[str, ...]
    works_with: int | None = None


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
            text = file.read_text("utf-8")
            found.append(parsed(int(match[1]), file.name.removesuffix(".sql"), text))
    return tuple(sorted(found, key=lambda migration: migration.version))


def parsed(version: int, name: str, text: str) -> Migration:
    """The migration that stands in a file."""
    head = _FIRST_LINES.match(text)
    stated = _WORKS_WITH.search(head[0]) if head else None
    statements = tuple(part.strip() for part in _COMMENT.sub("", text).split(";") if part.strip())
    return Migration(version, name, statements, int(stated[1]) if stated else None)


def oldest_program(version: int) -> int:
    """The oldest schema version whose programs may open a database at `version`.

    All the way there counts: a step that older programs can go on after does not undo one that they
    cannot.
    """
    return max(
        migration.version if migration.works_with is None else migration.works_with
        for migration in all_migrations()
        if migration.version <= version
    )


def newest_version() -> int:
    """The newest version of the schema that this program knows."""
    return all_migrations()[-1].version


def pending(current: int, oldest: int | None = None) -> tuple[Migration, ...]:
    """The migrations that a database at version `current` still needs.

    `oldest` is what a database that is ahead of this program says of `oldest_program`.

    Raises:
        SchemaTooNew: the database is ahead of this program, which cannot work on it.
    """
    newest = newest_version()
    if current > newest:
        if oldest is None or oldest > newest:
            raise SchemaTooNew(current, newest)
        logger.info(
            "a newer Moorage has brought the database to schema version %d; this program knows "
            "versions up to %d and may work on it",
            current,
            newest,
        )
    return tuple(migration for migration in all_migrations() if migration.version > current)
