# SPDX-License-Identifier: Apache-2.0
"""Which tables there are, as the migrations make them: a later migration needs no change here."""

from __future__ import annotations

import re

from moorage.db.migrations import SCHEMA, all_migrations

_CREATE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+)")
_DROP = re.compile(r"DROP TABLE (?:IF EXISTS )?([a-z_]+)")


# Which version a database has, whichever engine it is of.
VERSION = f"SELECT coalesce(max(version), 0) FROM {SCHEMA}"  # noqa: S608 (a table of ours)


def schema_version() -> int:
    """The newest version of the schema that this program knows."""
    return all_migrations()[-1].version


def table_names() -> tuple[str, ...]:
    """All tables of the newest schema; one that refers to another comes after it."""
    names: list[str] = []
    for migration in all_migrations():
        for statement in migration.statements:
            if created := _CREATE.match(statement):
                names.append(created[1])
            if (dropped := _DROP.match(statement)) and dropped[1] in names:
                names.remove(dropped[1])
    return tuple(names)
