# SPDX-License-Identifier: Apache-2.0
"""The `database` section: where everything is kept that is not a blob."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.settings.amounts import Duration, Integer
from moorage.settings.kinds import Boolean, FilePath, Text
from moorage.settings.leaves import optional, optional_section, required, section, setting
from moorage.settings.sections.previous_database import PreviousDatabase

if TYPE_CHECKING:
    from pathlib import Path

DATABASE_NAME = "moorage.db"
HOUR = 3600.0
MAX_POOL = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sqlite:
    """The SQLite file."""

    path: Path | None = optional(
        FilePath(),
        "The database file. Unset, it is `moorage.db` in `storage.filesystem.rootdirectory`. It "
        "must be on a local disk: SQLite's write-ahead log does not work on network file systems.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """The PostgreSQL database."""

    url: str = required(
        Text(
            name="a PostgreSQL URL",
            example="postgresql://moorage@db.example.com/moorage",
            pattern=r"postgres(ql)?://[^\s]*",
            advice=": write postgresql://user:password@host:5432/database",
        ),
        "The database, as `postgresql://user:password@host:5432/database`. `?sslmode=verify-full` "
        "and the other parameters of libpq's URLs work, several hosts too (the primary is found), "
        "and what is left out is taken from `PGHOST`, `PGUSER`, `PGPASSWORD` and the other `PG*` "
        "variables and from `~/.pgpass`: `postgresql://` alone leaves everything to them.",
        secret=True,
    )
    passwordfile: Path | None = optional(
        FilePath(),
        "A file that holds the password and nothing else, as Docker and Kubernetes mount secrets. "
        "It is read for each new connection, so that a password can be changed while the registry "
        "runs. It wins over a password in `url`.",
    )
    poolsize: int = setting(
        Integer(1, MAX_POOL),
        10,
        "How many connections each process opens at most. Whoever finds all of them busy waits for "
        "one. All processes of all replicas together, and `moorage` commands, must stay below the "
        "server's `max_connections`.",
        bounds="10 connections answer some thousand requests per second, because each is in use "
        "for about a millisecond. It is also the default of asyncpg and SQLAlchemy's sum of pool "
        "and overflow is 15; PostgreSQL's own `max_connections` is 100.",
    )
    statementtimeout: float = setting(
        Duration(0.1, HOUR),
        30.0,
        "How long one statement may take; the request is then answered with 503.",
        bounds="Statements are indexed and take milliseconds; 30s is where most proxies give up.",
    )
    locktimeout: float = setting(
        Duration(0.1, HOUR),
        10.0,
        "How long a statement waits for something that another transaction has locked; the request "
        "is then answered with 503.",
        bounds="Our own locks last milliseconds; who holds one for 10s is somebody's open session "
        "or a maintenance command.",
    )
    connecttimeout: float = setting(
        Duration(0.1, HOUR),
        10.0,
        "How long a request, or the start of the registry, waits for a connection: for one of the "
        "pool to be free again, or for a server that restarts or fails over. The request is then "
        "answered with 503.",
        bounds="A restart of PostgreSQL takes a few seconds; clients wait at least 30.",
    )
    pgbouncer: bool = setting(
        Boolean(),
        False,
        "Set it when `url` leads to pgbouncer (or another pooler) in transaction mode: no prepared "
        "statement is then kept on a connection, and time-outs are set in each transaction.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where everything is that is not a blob."""

    sqlite: Sqlite = section(
        Sqlite, "The database is one SQLite file. This is what is used when nothing is said."
    )
    postgres: Postgres | None = optional_section(
        Postgres,
        "The database is in PostgreSQL (13 or newer), which several replicas can share; see "
        "[PostgreSQL](postgresql.md). It needs the package asyncpg, which `moorage[postgres]` "
        "brings, and excludes `sqlite`.",
        present_when_empty=True,
    )
    previous: PreviousDatabase = section(
        PreviousDatabase,
        "Where the catalogue is being moved away from; see [moving the database]"
        "(moving-database.md).",
    )
