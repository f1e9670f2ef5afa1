# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of the benchmark's own, configured as for production: everything is synced.

Its data is in a folder of its own; the server is ended with the benchmark.
"""

from __future__ import annotations

import asyncio
import glob
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from bench.catalogue import TABLES
from bench.processes import free_port
from bench.scale import ScaledRegistry, batches
from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_pool import PostgresOptions

if TYPE_CHECKING:
    from typing import Self

    from bench.catalogue import Scale
    from bench.contestants import Contestant
    from moorage.db.protocol import Database

USER = "postgres"
START_SECONDS = 60.0
# A quarter of a small server's memory, as its documentation advises; the rest is as it comes.
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB"}


def program(name: str) -> str | None:
    """Where a program of the server is; Debian keeps them out of PATH."""
    found = shutil.which(name)
    return found or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)


def version() -> str:
    """What the server calls itself."""
    postgres = program("postgres")
    if postgres is None:
        return ""
    shown = subprocess.run([postgres, "--version"], check=True, capture_output=True, text=True)
    return shown.stdout.strip().removeprefix("postgres (PostgreSQL) ")


# They say nothing about a plan, and there may be fifty of them.
_DIGESTS = re.compile(r"sha256:[^']+(?=')")


class PostgresServer:
    """Started with the block and ended with it."""

    def __init__(self, folder: Path) -> None:
        # Below /tmp, because the path of a Unix socket may have 107 bytes.
        self._sockets = Path(tempfile.mkdtemp(prefix="moorage-bench-pg-", dir="/tmp"))
        self._data = folder / "postgres"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its one database."""
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{USER}"

    def __enter__(self) -> Self:
        initdb, postgres = program("initdb"), program("postgres")
        if initdb is None or postgres is None:
            raise FileNotFoundError("initdb is missing: install the package postgresql")
        self._data.mkdir()
        user = USER if os.geteuid() == 0 else None
        if user is not None:
            entry = pwd.getpwnam(user)
            for folder in (self._sockets, self._data):
                os.chown(folder, entry.pw_uid, entry.pw_gid)
            self._data.parent.chmod(0o755)
        words = ["-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run([initdb, *words], check=True, capture_output=True, user=user, cwd="/")
        settings = {
            **SETTINGS,
            "port": str(self._port),
            "unix_socket_directories": str(self._sockets),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._sockets / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [postgres, "-D", str(self._data), *options],
                stdout=log, stderr=log, user=user, cwd="/",
            )  # fmt: skip
        try:
            asyncio.run(self._wait())
        except BaseException:
            self.__exit__()
            raise
        return self

    async def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = await asyncpg.connect(self.url)
            except (OSError, asyncpg.PostgresError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                await connection.close()
                return

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
        shutil.rmtree(self._sockets, ignore_errors=True)


class PostgresEngine:
    """One database of a server that runs."""

    name = "PostgreSQL"

    def __init__(self, server: PostgresServer) -> None:
        self._url = server.url

    def registry(self, folder: Path) -> Contestant:
        """A registry over the database."""
        return ScaledRegistry(folder, {"database.postgres.url": self._url})

    def fill(self, scale: Scale) -> None:
        """COPY, then the statistics that the planner needs."""
        asyncio.run(self._fill(scale))

    async def _fill(self, scale: Scale) -> None:
        database = self.database()
        await database.start()
        await database.close()
        connection = await asyncpg.connect(self._url, command_timeout=3600)
        try:
            await connection.execute("SET synchronous_commit = off")
            # The rows are right by construction; checking each against the others takes an hour.
            await connection.execute("SET session_replication_role = replica")
            for batch in batches(scale):
                async with connection.transaction():
                    for table, rows in batch.items():
                        await connection.copy_records_to_table(
                            table, records=sorted(rows), columns=list(TABLES[table])
                        )
            for table in ("repositories", "manifests"):
                await connection.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
                )
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    def database(self) -> Database:
        """The database as the program opens it."""
        return PostgresDatabase(PostgresOptions(url=self._url, pool_size=2))

    async def plan(self, sql: str, arguments: tuple[object, ...]) -> str:
        """The lines of EXPLAIN, without costs."""
        connection = await asyncpg.connect(self._url)
        try:
            rows = await connection.fetch(f"EXPLAIN (COSTS OFF) {sql}", *arguments)
        finally:
            await connection.close()
        plan = "; ".join(row[0].strip().removeprefix("->").strip() for row in rows)
        return _DIGESTS.sub("…", plan)

    def bytes(self) -> int:
        """The size of the database."""
        return asyncio.run(self._bytes())

    async def _bytes(self) -> int:
        connection = await asyncpg.connect(self._url)
        try:
            size: int = await connection.fetchval("SELECT pg_database_size(current_database())")
            return size
        finally:
            await connection.close()
