# SPDX-License-Identifier: Apache-2.0
"""Which tables there are, as the migrations make them: a later migration needs no change here."""

from __future__ import annotations

import re

from moorage.db.migrations import all_migrations, newest_version

_CREATE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+)")
_DROP = re.compile(r"DROP TABLE (?:IF EXISTS )?([a-z_]+)")


def schema_version() -> int:
    """The newest version of the schema that this program knows."""
    return newest_version()


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
