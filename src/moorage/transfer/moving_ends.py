# SPDX-License-Identifier: Apache-2.0
"""The two ends of a catalogue's move, opened for `moving_catalogue` and closed after it.

Invariant: whatever is wrong with an end is one sentence that names it, and nothing was changed.
"""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.db.following import forget_signs, only_move, strangers
from moorage.db.migrations import VERSION
from moorage.db.moving_source import MovingSource, NotMovable
from moorage.db.moving_target import FAILURES, connect_target
from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_errors import described, unusable
from moorage.db.postgres_pool import PostgresOptions
from moorage.db.sqlite_file import unusable as unusable_file
from moorage.db.tables import schema_version
from moorage.spec.errors import Unavailable
from moorage.transfer.moving_catalogue import CatalogueMove, MoveOptions, abort_move
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from moorage.db.moving_rows import Table
    from moorage.db.moving_target import MovingTarget
    from moorage.observe.progress import Progress
    from moorage.transfer.moving_catalogue import MoveReport

# What the command line has to hand over, which knows nothing of databases.
PostgresAddress = PostgresOptions

_BOOT = Path("/proc/sys/kernel/random/boot_id")


async def move_catalogue(
    path: Path, postgres: PostgresAddress, progress: Progress, *, rate: float | None = None
) -> MoveReport:
    """Move the catalogue, or go on with its move.

    Raises:
        CannotTransfer, Unavailable: why it cannot be done; the file is still the truth.
    """
    with _file(path) as (source, tables):
        await _make_schema(postgres)
        options = MoveOptions(
            destination=described(postgres.url),
            boot=_boot(),
            schema_version=schema_version(),
            rate=rate,
            all_follow=lambda: _refuse_strangers(path),
        )
        async with _database(postgres, tables) as target:
            report = await CatalogueMove(source, target, tables, options, progress).run()
    forget_signs(path)
    return report


async def abort_catalogue_move(path: Path, postgres: PostgresAddress | None) -> str:
    """End a move that is not complete; what is left to do, if anything.

    Raises:
        CannotTransfer: it is complete.
    """
    with _file(path) as (source, tables):
        if postgres is not None:
            try:
                async with _database(postgres, tables) as target:
                    await abort_move(source, target)
            except Unavailable as error:
                await abort_move(source, None)
                return (
                    f"; what was copied is still there: {error}: name an empty database next time"
                )
            return ""
        await abort_move(source, None)
        return "; what was copied is still in PostgreSQL: name an empty database next time"


@contextmanager
def _file(path: Path) -> Iterator[tuple[MovingSource, list[Table]]]:
    try:
        with only_move(path), closing(MovingSource(path)) as source:
            try:
                tables = source.tables()
            except NotMovable as error:
                raise CannotTransfer(f"{path} cannot be moved: {error}") from error
            if not tables:
                raise CannotTransfer(f"{path} holds no registry")
            yield source, tables
    except BlockingIOError as error:
        raise CannotTransfer(
            f"another move of {path} is running: wait for it, or end it"
        ) from error
    except sqlite3.Error as error:
        raise unusable_file(path, error) from error


async def _make_schema(postgres: PostgresAddress) -> None:
    database = PostgresDatabase(postgres, arriving=True)
    await database.start()
    try:
        row = await database.fetch_one(VERSION)
    finally:
        await database.close()
    assert row is not None  # an aggregate always has one
    if row[0] != schema_version():
        raise CannotTransfer(
            f"PostgreSQL has schema version {row[0]}, this program knows versions up to "
            f"{schema_version()}: let the registry run the newer moorage that has been at work "
            "there, and move with that one"
        )


@asynccontextmanager
async def _database(postgres: PostgresAddress, tables: list[Table]) -> AsyncIterator[MovingTarget]:
    try:
        target = await connect_target(postgres, tables)
    except (*FAILURES, ValueError) as error:
        raise unusable(postgres.url, error) from error
    try:
        yield target
    finally:
        await target.close()


def _refuse_strangers(path: Path) -> None:
    if found := strangers(path):
        processes = ", ".join(map(str, found))
        raise CannotTransfer(
            f"{path} is open in process {processes}, which would not follow to PostgreSQL: restart "
            "the registry with database.postgres and database.previous.sqlite.path, let other "
            "commands end, and run this again"
        )


def _boot() -> str:
    """This run of the machine; "" where the kernel does not say."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""
