# SPDX-License-Identifier: Apache-2.0
"""A catalogue on its way from a SQLite file to PostgreSQL: whoever serves from it follows.

The file is the truth until it carries its mark (`moving_marks`), PostgreSQL is from then on. The
mark is committed in the file before anything else is written to PostgreSQL, and every read first
asks the file whether it has changed, so reads are linearizable across processes: what was
acknowledged anywhere before a read began is seen by it. Invariant: after the mark nothing is read
from or written to the file again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from moorage.db.following import FollowingSign
from moorage.db.moving_arrival import confirm_move, finished_move
from moorage.db.moving_marks import (
    CREATE_MARKS,
    FREEZE_SECONDS,
    FROZEN,
    MARKS,
    CatalogueFrozen,
    CatalogueMoved,
    mark_of,
    read_mark,
)
from moorage.db.sqlite_file import unusable
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from moorage.db.moving_marks import Mark
    from moorage.db.protocol import Database, Row, Transaction, Value, View
    from moorage.db.sqlite import SQLiteDatabase

T = TypeVar("T")

_MARK = f"SELECT id, moved_at, moved_to FROM {MARKS}"  # noqa: S608 (a table of ours)
_FROZEN = f"SELECT {FROZEN} FROM {MARKS}"  # noqa: S608 (a table of ours)
_HAS_MARKS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1"
# Long enough for a freeze that ran out because its tool died, and for another one right after it.
PATIENCE_SECONDS = 3 * FREEZE_SECONDS
LOOK_SECONDS = 0.01


class MovingDatabase:
    """Both databases; `moorage.db.protocol.Database` says what its methods promise."""

    def __init__(
        self, path: Path, previous: SQLiteDatabase, following: Database, moved: Callable[[], None]
    ) -> None:
        """`path` is the file of `previous`; `moved` is told once that it is needed no more."""
        self._path = path
        self._previous = previous
        self._following = following
        self._tell = moved
        self._previous_open = False
        self._sign: FollowingSign | None = None
        self._version = -1
        self._mark: Mark | None = None
        self._arriving: asyncio.Task[None] | None = None
        self._arrived = False
        self._thaw: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open PostgreSQL, so that it is there when it is wanted, and the file if it is the truth.

        Raises:
            Unavailable: one of them cannot be used, or they do not belong together.
        """
        try:
            self._mark = read_mark(self._path)
        except (OSError, sqlite3.Error) as error:
            raise unusable(self._path, error) from error
        await self._following.start()
        try:
            await self._start_previous()
        except BaseException:
            await self.close()
            raise

    async def _start_previous(self) -> None:
        if self._mark is None and self._path.exists():
            await self._open_previous()
        if self._previous_open:
            if await self._previous.fetch_one(_HAS_MARKS, MARKS) is None:
                await self._previous.transaction(_create_marks)
            await self._is_moved()
        elif self._mark is None:
            if await finished_move(self._following) is None:
                raise Unavailable(
                    f"database.previous names {self._path}, which is missing, and no catalogue was "
                    "moved to database.postgres: mount the folder of the file, or remove "
                    "database.previous to begin with an empty registry"
                )
            self._arrived = True
            self._tell()
        if self._mark is not None:
            await self._arrive()

    async def _open_previous(self) -> None:
        try:
            await self._previous.start()
        except Unavailable:
            self._mark = read_mark(self._path)  # it may have come since `start` has looked
            if self._mark is None:
                raise
        else:
            self._previous_open = True
            self._sign = FollowingSign(self._path)

    async def close(self) -> None:
        for task in (self._arriving, self._thaw):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._previous_open:
            await self._previous.close()
        if self._sign is not None:
            self._sign.take_down()
        await self._following.close()

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        if await self._is_moved():
            return await self._following.fetch_one(sql, *arguments)
        return await self._previous.fetch_one(sql, *arguments)

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        if await self._is_moved():
            return await self._following.fetch_all(sql, *arguments)
        return await self._previous.fetch_all(sql, *arguments)

    @asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        database = self._following if await self._is_moved() else self._previous
        async with database.view() as view:
            yield view

    async def transaction(
        self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = True
    ) -> T:
        async def unless_moved(transaction: Transaction) -> T:
            # The triggers refuse changes; what this work only reads must not be old either.
            mark = mark_of(await transaction.fetch_one(_MARK))
            if mark is not None:
                raise mark.refusal()
            return await work(transaction)

        patience = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while not await self._is_moved():
            try:
                return await self._previous.transaction(unless_moved, durable=durable)
            except CatalogueMoved:
                await asyncio.sleep(0)
            except CatalogueFrozen:
                if asyncio.get_running_loop().time() > patience:
                    raise
                await self._thawed()
        return await self._following.transaction(work, durable=durable)

    async def _is_moved(self) -> bool:
        """Whether PostgreSQL is the truth; when the file is, nothing has waited in here."""
        if self._arrived:
            return True
        if self._mark is None:
            version = self._previous.data_version()
            if version == self._version:
                return False
            self._mark = mark_of(await self._previous.fetch_one(_MARK))
            self._version = version
            if self._mark is None:
                return False
        await self._arrive()
        return True

    async def _arrive(self) -> None:
        """Make sure, once for everybody, that PostgreSQL is the one that the catalogue went to."""
        if self._arriving is None:
            self._arriving = asyncio.create_task(self._confirm())
        await asyncio.shield(self._arriving)

    async def _confirm(self) -> None:
        assert self._mark is not None
        try:
            is_here = await confirm_move(self._following, self._mark.id)
        finally:
            self._arriving = None  # PostgreSQL may be back for the next who asks
        if not is_here:
            raise Unavailable(
                f"the catalogue {self._path} was moved to {self._mark.moved_to}, and "
                "database.postgres is another database: set the one that it was moved to"
            )
        self._arrived = True
        self._tell()

    async def _thawed(self) -> None:
        """Return when the file may have taken its mark, or takes changes again."""
        if self._thaw is None:
            self._thaw = asyncio.create_task(self._watch())
        await asyncio.shield(self._thaw)

    async def _watch(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                rows = await self._previous.fetch_all(_FROZEN)
                if rows != [(1,)]:
                    return
        finally:
            self._thaw = None


async def _create_marks(transaction: Transaction) -> None:
    await transaction.execute(CREATE_MARKS)
