# SPDX-License-Identifier: Apache-2.0
"""What a PostgreSQL catalogue says about its own arrival from a SQLite file.

One row of the table `moving`, which the tool makes and this module reads: which move it is, and
since when it is complete. Invariant: nobody serves from a catalogue that has not wholly arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    import asyncpg

    from moorage.db.protocol import Database, Reader, Transaction

ARRIVAL = "moving"
PROGRESS = "moving_progress"
DEFINITIONS = "moving_definitions"
OURS = (ARRIVAL, PROGRESS, DEFINITIONS)

_EXISTS = f"SELECT 1 WHERE to_regclass('{ARRIVAL}') IS NOT NULL"
_FINISHED = f"SELECT id, finished_at FROM {ARRIVAL}"  # noqa: S608 (a table of ours)
FINISH = f"""
    UPDATE {ARRIVAL} SET finished_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    WHERE id = $1 AND finished_at IS NULL
"""  # noqa: S608 (a table of ours)


async def finished_move(database: Reader) -> str | None:
    """Which move has wholly arrived here, if one has."""
    if await database.fetch_one(_EXISTS) is None:
        return None
    row = await database.fetch_one(_FINISHED)
    if row is None or row[1] is None:
        return None
    identity: str = row[0]
    return identity


async def confirm_move(database: Database, identity: str) -> bool:
    """Whether the catalogue of this move is here, whose mark the caller has seen.

    A tool that died right after the mark has not said here that all is complete: it is said now.
    """
    if await database.fetch_one(_EXISTS) is None:
        return False
    row = await database.fetch_one(_FINISHED)
    if row is None or row[0] != identity:
        return False
    if row[1] is None:

        async def finish(transaction: Transaction) -> None:
            await transaction.execute(FINISH, identity)

        await database.transaction(finish)
    return True


async def refuse_unfinished(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Refuse to serve from a database into which a catalogue is still being moved.

    Raises:
        Unavailable: with what to do.
    """
    if await connection.fetchrow(_EXISTS) is None:
        return
    row = await connection.fetchrow(_FINISHED)
    if row is not None and row[1] is None:
        raise Unavailable(
            "a catalogue is still being moved into it: name the SQLite file that it comes from as "
            "database.previous.sqlite.path until `moorage migrate database` is done"
        )
