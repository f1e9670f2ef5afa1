# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as the database: any number of replicas, each with a pool of connections.

Reads are single statements on the primary. A transaction is SERIALIZABLE and runs again after a
conflict, so that it means what it means with SQLite's single writer. It runs to its end even when
its asker leaves. A commit whose answer was lost is looked up, not guessed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from moorage.db import postgres_view
from moorage.db.migrations import SchemaTooNew
from moorage.db.moving_arrival import refuse_unfinished
from moorage.db.postgres_errors import (
    FAILURES,
    Fault,
    fault_of,
    may_pass,
    raise_translated,
    unusable,
)
from moorage.db.postgres_migrations import bring_up_to_date
from moorage.db.postgres_patience import CONFLICT_SECONDS, Patience
from moorage.db.postgres_pool import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Pool,
    PostgresOptions,
    connect,
    time_outs,
)
from moorage.db.postgres_transaction import PostgresTransaction, was_committed
from moorage.db.postgres_view import PostgresView
from moorage.spec.errors import OCIError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any

    from moorage.db.postgres_pool import Session
    from moorage.db.protocol import Row, Transaction, Value

T = TypeVar("T")

_NOT_DURABLE = "; SET LOCAL synchronous_commit = off"
_IDENTITIES = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND is_identity = 'YES'
"""


class PostgresDatabase:
    """The catalogue in PostgreSQL; `moorage.db.protocol.Database` says what its methods promise."""

    def __init__(
        self, options: PostgresOptions, *, must_exist: bool = False, arriving: bool = False
    ) -> None:
        """With `must_exist` an empty database is refused instead of filled with the schema.

        One into which a catalogue is still being moved is refused too, unless it may be `arriving`.
        """
        self._options = options
        self._arriving = arriving
        self._must_exist = must_exist
        self._pool = Pool(options)
        self._running: set[asyncio.Task[Any]] = set()
        self._turn = asyncio.Lock()
        own = "; ".join(f"SET LOCAL {name} = {value:d}" for name, value in time_outs(options))
        settings = f"; {own}" if options.pgbouncer else ""
        self._durable = ""
        self._begin = f"BEGIN ISOLATION LEVEL SERIALIZABLE{settings}"

    async def start(self) -> None:
        deadline = time.monotonic() + self._options.connect_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._prepare()
            except FAILURES as error:
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                if not may_pass(error) or time.monotonic() + pause > deadline:
                    raise unusable(self._options.url, error) from error
                await asyncio.sleep(pause)
            except (SchemaTooNew, OCIError) as error:
                raise unusable(self._options.url, error) from error
            else:
                return

    async def _prepare(self) -> None:
        connection = await connect(self._options)
        try:
            await bring_up_to_date(connection, must_exist=self._must_exist)
            if not self._arriving:
                await refuse_unfinished(connection)
            # A role may be configured to acknowledge before the disk has it; we may not.
            relaxed = await connection.fetchval("SHOW synchronous_commit") == "off"
            self._durable = "; SET LOCAL synchronous_commit = on" if relaxed else ""
        finally:
            connection.terminate()

    async def close(self) -> None:
        if self._running:
            await asyncio.wait(self._running)
        await self._pool.close()

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        async def read(session: Session) -> Row | None:
            row = await session.connection.fetchrow(sql, *arguments)
            return None if row is None else tuple(row)

        return await self._read(read)

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        async def read(session: Session) -> list[Row]:
            return [tuple(row) for row in await session.connection.fetch(sql, *arguments)]

        return await self._read(read)

    async def transaction(
        self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = True
    ) -> T:
        task = asyncio.create_task(self._until_committed(work, durable=durable))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    @asynccontextmanager
    async def view(self) -> AsyncIterator[PostgresView]:
        """See the protocol. Its connection is not one of the pool: it may be long in use."""
        try:
            connection = await connect(self._options, patient=True)
        except FAILURES as error:
            raise unusable(self._options.url, error) from error
        try:
            await connection.execute(postgres_view.BEGIN)
            yield PostgresView(connection)
        finally:
            connection.terminate()

    async def renumber(self) -> None:
        """Let the numbers of new rows go on after those that are there."""
        for table, column in await self.fetch_all(_IDENTITIES):
            largest = f"SELECT coalesce(max({column}), 0) + 1 FROM {table}"  # noqa: S608 (ours)
            sequence = "pg_get_serial_sequence($1, $2)"
            await self.fetch_one(f"SELECT setval({sequence}, ({largest}), false)", table, column)

    async def _read(self, read: Callable[[Session], Awaitable[T]]) -> T:
        """Run a single statement, on another connection if one breaks."""
        patience = Patience(self._options.connect_seconds)
        while True:
            session = await self._pool.acquire()
            try:
                result = await read(session)
            except BaseException as error:  # noqa: BLE001 (looked at, and raised again)
                self._give_back(session, error)
                if fault_of(error) not in (Fault.LOST, Fault.CONFLICT):
                    raise_translated(error)
                failure = error
            else:
                self._pool.release(session)
                return result
            await patience.wait(failure)

    async def _until_committed(
        self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool
    ) -> T:
        patience = Patience(CONFLICT_SECONDS)
        while True:
            # Who has met conflicts goes one at a time with others of this process who have.
            async with self._turn if patience.conflicts > 1 else nullcontext():
                try:
                    return await self._attempt(work, durable=durable)
                except Exception as error:  # noqa: BLE001 (looked at, and raised again)
                    if not patience.permits(fault_of(error)):
                        raise_translated(error)
                    failure = error
            await patience.wait(failure)

    async def _attempt(self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool) -> T:
        session = await self._pool.acquire()
        transaction = PostgresTransaction(session)
        try:
            how = self._durable if durable else _NOT_DURABLE
            await session.connection.execute(self._begin + how)
            outcome = await work(transaction)
            await transaction.learn_number()
        except BaseException as error:
            await self._roll_back(session, error)
            raise
        try:
            await transaction.commit()
        except BaseException as error:
            self._give_back(session, error)
            if not _is_open(error) or transaction.number is None:
                raise
            if not await self._was_committed(transaction.number, session.incarnation):
                raise ConnectionResetError("the commit did not happen") from error
        else:
            self._pool.release(session)
        return outcome

    async def _roll_back(self, session: Session, error: BaseException) -> None:
        try:
            if _is_told(error) or fault_of(error) is Fault.FOREIGN:
                await session.connection.execute("ROLLBACK")
        except FAILURES:
            self._pool.discard(session)
        else:
            self._give_back(session, error)

    async def _was_committed(self, number: str, incarnation: str) -> bool:
        """The fate of a commit that was sent and not answered."""
        patience = Patience(CONFLICT_SECONDS)
        while True:
            session = await self._pool.acquire()
            try:
                fate = await was_committed(
                    session, number, incarnation, self._options.statement_seconds
                )
            except Exception as error:  # noqa: BLE001 (looked at, and raised again)
                self._give_back(session, error)
                if fault_of(error) is not Fault.LOST:
                    raise_translated(error)
                failure = error
            else:
                self._pool.release(session)
                return fate
            await patience.wait(failure)

    def _give_back(self, session: Session, error: BaseException) -> None:
        """Keep the connection unless the error leaves its state open."""
        is_ours = isinstance(error, Exception) and fault_of(error) is Fault.FOREIGN
        if _is_told(error) or is_ours:
            self._pool.release(session)
        else:
            self._pool.discard(session)


def _is_told(error: BaseException) -> bool:
    """Whether PostgreSQL itself has told about the error, on a connection that is still good."""
    return isinstance(error, asyncpg.PostgresError) and fault_of(error) is not Fault.LOST


def _is_open(error: BaseException) -> bool:
    """Whether an error of COMMIT leaves open what has happened."""
    return not _is_told(error) and fault_of(error) is not Fault.FOREIGN
