# SPDX-License-Identifier: Apache-2.0
"""The schema in PostgreSQL, brought up to date by whichever replica comes first.

The lock belongs to the transaction, not to the session, so it holds behind pgbouncer too; who comes
later waits for it and finds nothing left to do. Invariant: all of the pending migrations happen, or
none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.db.migrations import SCHEMA, VERSION, newest_version, oldest_program, pending
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    import asyncpg

    from moorage.db.migrations import Migration

# Any number will do, as long as nothing else in the database takes it: "moorage" on a telephone.
_LOCK = 6_667_243
# Migrations of a large catalogue make indexes; whoever waits for another replica waits with it.
_PATIENCE_MILLISECONDS = 600_000
OLDEST_SERVER = 130_000  # pg_current_xact_id; older ones are out of support
_MICROSECOND_CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

_SERVER = f"""
    SELECT current_setting('server_version_num')::bigint, current_setting('server_version'),
        (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()),
        to_regclass('{SCHEMA}') IS NOT NULL
"""  # noqa: S608 (constants)
_OLDEST = f"SELECT works_with FROM {SCHEMA} WHERE version = $1"  # noqa: S608 (constants)
_OWN_TABLES = (
    f"""
    CREATE TABLE IF NOT EXISTS {SCHEMA}
        (version BIGINT PRIMARY KEY, at BIGINT NOT NULL, works_with BIGINT)
    """,
    """
    CREATE UNLOGGED TABLE IF NOT EXISTS moorage_incarnation
        (one BIGINT PRIMARY KEY, token TEXT NOT NULL)
    """,
)
_KNOWS_PROGRAMS = f"""
    SELECT 1 FROM pg_attribute
    WHERE attrelid = to_regclass('{SCHEMA}') AND attname = 'works_with' AND NOT attisdropped
"""  # noqa: S608 (constants)
_KNOW_PROGRAMS = f"ALTER TABLE {SCHEMA} ADD COLUMN works_with BIGINT"
_RECORD = f"""
    INSERT INTO {SCHEMA} (version, at, works_with) VALUES ($1, {_MICROSECOND_CLOCK}, $2)
"""  # noqa: S608 (constants)


async def bring_up_to_date(connection: asyncpg.Connection, *, must_exist: bool) -> None:
    """Make or renew the schema.

    Raises:
        SchemaTooNew: the database is ahead of this program, which cannot work on it.
        Unavailable: the database is not one that can be used, or `must_exist` and it is empty.
    """
    is_there = await _examine(connection)
    if must_exist and not is_there:
        raise Unavailable(
            "there is no registry in it: start one on it, or name its configuration with --config"
        )
    if is_there and not await _pending(connection):
        return
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(
            f"SET LOCAL lock_timeout = {_PATIENCE_MILLISECONDS}; SET LOCAL statement_timeout = 0"
        )
        # A function without a time-out of its own; the connection's would end the wait.
        await connection.execute(
            "SELECT pg_advisory_xact_lock($1)", _LOCK, timeout=_PATIENCE_MILLISECONDS / 1000
        )
        for statement in _OWN_TABLES:
            await connection.execute(statement)
        # Only where it is missing: the lock would keep replicas from starting meanwhile.
        if not await connection.fetchval(_KNOWS_PROGRAMS):
            await connection.execute(_KNOW_PROGRAMS)
        for migration in await _pending(connection):
            for statement in migration.statements:
                await connection.execute(statement, timeout=_PATIENCE_MILLISECONDS / 1000)
            await connection.execute(_RECORD, migration.version, oldest_program(migration.version))


async def _pending(connection: asyncpg.Connection) -> tuple[Migration, ...]:
    version = await connection.fetchval(VERSION)
    oldest = None
    if version > newest_version():
        oldest = await connection.fetchval(_OLDEST, version)
    return pending(version, oldest)


async def _examine(connection: asyncpg.Connection) -> bool:
    """Whether the schema is there, in a server and a database that can hold it."""
    row = await connection.fetchrow(_SERVER)
    assert row is not None  # there is no FROM
    number, version, encoding, is_there = row
    if number < OLDEST_SERVER:
        raise Unavailable(f"its server has version {version}: use PostgreSQL 13 or newer")
    if encoding != "UTF8":
        raise Unavailable(
            f"its encoding is {encoding}: make one with "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    return bool(is_there)
