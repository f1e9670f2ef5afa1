# SPDX-License-Identifier: Apache-2.0
"""A bounded number of connections to PostgreSQL, used last-in first-out, renewed when they break.

A connection is given back as it is: no statement is sent to reset it, because whatever a
transaction sets ends with it. Invariant: nobody waits longer for a connection than the time-out
says, and a broken connection is never handed out knowingly.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from moorage.db.postgres_errors import FAILURES, may_pass, unusable
from moorage.spec.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

# Firewalls and clouds forget connections that rest for some minutes (350 s is a usual bound) and
# tell neither end; asyncpg's own pool closes them after 300 s.
IDLE_SECONDS = 240.0
# How much longer than the server this side waits before it gives up the connection.
GRACE_SECONDS = 2.0
# All statements of the program, several times over.
CACHED_STATEMENTS = 512
# Where the database is and as whom we come is the operator's, who finds it in the log.
_AWAY = "the database cannot be reached at the moment"
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5

# Unlogged tables are emptied when a server crashes or a standby takes over, and by nothing else: a
# token that is still there says that no transaction number was used twice since it was read.
INCARNATION = "SELECT token FROM moorage_incarnation"
_NEW_INCARNATION = """
    INSERT INTO moorage_incarnation (one, token) VALUES (1, $1) ON CONFLICT (one) DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """How to reach the database, and how patient to be with it."""

    url: str
    password_file: Path | None = None
    pool_size: int = 10
    statement_seconds: float = 30.0
    lock_seconds: float = 10.0
    connect_seconds: float = 10.0
    pgbouncer: bool = False


@dataclass(slots=True, eq=False)
class Session:
    """A connection, and in which life of the server it was made."""

    connection: asyncpg.Connection
    incarnation: str = ""
    rested_at: float = 0.0


async def connect(options: PostgresOptions, *, patient: bool = False) -> asyncpg.Connection:
    """A new connection; what asyncpg raises is not translated.

    On a `patient` one this side waits for a statement as long as the server does.
    """
    password_file = options.password_file

    def password() -> str:
        assert password_file is not None
        return password_file.read_text().strip("\r\n")

    connection: asyncpg.Connection = await asyncpg.connect(
        options.url,
        password=password if password_file is not None else None,
        timeout=options.connect_seconds,
        command_timeout=None if patient else options.statement_seconds + GRACE_SECONDS,
        # Between pgbouncer and the server, statements prepared by one client meet those of others.
        statement_cache_size=0 if options.pgbouncer else CACHED_STATEMENTS,
        max_cached_statement_lifetime=0,
        server_settings=_server_settings(options),
        # pgbouncer leads where it is told to, and answers this question with a query.
        target_session_attrs=None if options.pgbouncer else "read-write",
    )
    # The sum of a column of BIGINT is NUMERIC.
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=int, format="text"
    )
    return connection


def _server_settings(options: PostgresOptions) -> dict[str, str]:
    if options.pgbouncer:
        return {"application_name": "moorage"}
    return {
        "application_name": "moorage",
        # Statements are short and indexed: compiling one takes longer than running it.
        "jit": "off",
        **{name: str(milliseconds) for name, milliseconds in time_outs(options)},
    }


def time_outs(options: PostgresOptions) -> list[tuple[str, int]]:
    """The server's own time-outs, in milliseconds."""
    statement = int(options.statement_seconds * 1000)
    return [
        ("statement_timeout", statement),
        ("lock_timeout", int(options.lock_seconds * 1000)),
        # A replica that was frozen or cut off must not hold its locks for long.
        ("idle_in_transaction_session_timeout", statement),
    ]


class Pool:
    """Up to `pool_size` connections."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._places = asyncio.Semaphore(options.pool_size)
        self._idle: list[Session] = []
        self._trouble: Unavailable | None = None

    async def acquire(self) -> Session:
        """A connection, to be given to `release` or `discard` afterwards.

        Raises:
            Unavailable: there is none to be had in time.
        """
        deadline = time.monotonic() + self._options.connect_seconds
        await self._take_place()
        try:
            return self._rested() or await self._connected(deadline)
        except BaseException:
            self._places.release()
            raise

    def release(self, session: Session) -> None:
        """Keep the connection for the next who needs one."""
        if session.connection.is_closed() or session.connection.is_in_transaction():
            self.discard(session)
            return
        now = time.monotonic()
        session.rested_at = now
        self._idle.append(session)
        if now - self._idle[0].rested_at > IDLE_SECONDS:
            self._idle.pop(0).connection.terminate()
        self._places.release()

    def discard(self, session: Session) -> None:
        """Let go of a connection that is broken, or in a state that nobody knows."""
        session.connection.terminate()
        self._places.release()

    async def close(self) -> None:
        """Close what rests."""
        idle, self._idle = self._idle, []
        for session in idle:
            try:
                await session.connection.close(timeout=GRACE_SECONDS)
            except FAILURES:
                session.connection.terminate()

    async def _take_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        seconds = self._options.connect_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError:
            message = (
                f"all {self._options.pool_size} connections to PostgreSQL were busy for "
                f"{seconds:g} s (database.postgres.poolsize)"
            )
            raise Unavailable(_AWAY if self._trouble else message) from self._trouble

    def _rested(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if time.monotonic() - session.rested_at > IDLE_SECONDS:
                session.connection.terminate()
            if not session.connection.is_closed():
                return session
        return None

    async def _connected(self, deadline: float) -> Session:
        """A new connection, tried for until the deadline: a server that restarts comes back."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                session = await self._session()
            except Exception as error:  # noqa: BLE001 (whatever it is, it is named as the cause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 (spreads retries)
                if not may_pass(error) or time.monotonic() + wait > deadline:
                    self._trouble = unusable(self._options.url, error)
                    self._trouble.__cause__ = error
                    raise Unavailable(_AWAY) from self._trouble
                await asyncio.sleep(wait)
            else:
                self._trouble = None
                return session

    async def _session(self) -> Session:
        connection = await connect(self._options)
        try:
            token = await connection.fetchval(INCARNATION)
            if token is None:
                await connection.execute(_NEW_INCARNATION, secrets.token_hex(16))
                token = await connection.fetchval(INCARNATION)
        except BaseException:
            connection.terminate()
            raise
        return Session(connection, token or "")
