# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL server of the test run's own, and a fresh database for each test in it.

The first test that asks for it starts the server; each worker of pytest-xdist has its own. Fresh
databases are copies of one that was migrated once. A test may stop the server, kill it and start
it again: it must be running when the test ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from moorage.db.tables import table_names
from tests.support.registry import free_port
from tests.support.tools import need

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = "postgresql-15"
SUPERUSER = "postgres"
PASSWORD = "it/needs:encoding@in#a?URL%"
ENCODED = "it%2Fneeds%3Aencoding%40in%23a%3FURL%25"
START_SECONDS = 60.0
TEMPLATE = "moorage_template"
# What a server of some minutes needs. No test cuts the power, so what has reached the kernel is
# kept without a sync; what was not written when the server crashes is lost as ever.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
}


INITDB = (
    *("-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
    *("--auth-local=trust", "--auth-host=scram-sha-256"),
)
PSQL = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER)


def _user() -> str | None:
    """Whom the server runs as: root is refused by it."""
    return SUPERUSER if os.geteuid() == 0 else None


@dataclass
class PostgresServer:
    """One server; its folder and its port stay the same over restarts."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def make(cls) -> PostgresServer:
        """A new one, running; a skip where PostgreSQL is not installed."""
        initdb = need("initdb", PACKAGE)
        # Below /tmp, because the path of a unix socket may have 107 bytes.
        folder = Path(tempfile.mkdtemp(prefix="moorage-pg-", dir="/tmp"))
        user = _user()
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        server = cls(folder)
        subprocess.run(
            [initdb, "-D", folder / "data", *INITDB, "--pwfile", password],
            check=True,
            capture_output=True,
            user=user,
            group=user,
            cwd=folder,
        )
        server.start()
        return server

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = need("postgres", PACKAGE)
        settings = {**SETTINGS, "port": self.port, "unix_socket_directories": self.folder}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        user = _user()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "-D", self.folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=user,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_SECONDS
        ready = need("pg_isready", PACKAGE)
        while subprocess.run(
            [ready, "-q", "-h", self.folder, "-p", str(self.port)], check=False
        ).returncode:
            log_text = (self.folder / "log").read_text(errors="replace")
            assert self.process.poll() is None, f"PostgreSQL ended:\n{log_text}"
            assert time.monotonic() < deadline, f"PostgreSQL did not start:\n{log_text}"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as an operator would: open connections are cut, what is committed is kept."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Stop it as a fault would: what was not synced is lost, the next start recovers."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(START_SECONDS)

    def remove(self) -> None:
        """End it and leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.crash()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def url(self, database: str, **parameters: str) -> str:
        """The URL of one of its databases."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{SUPERUSER}:{ENCODED}@127.0.0.1:{self.port}/{database}" + (
            f"?{query}" if query else ""
        )

    def run_sql(self, *statements: str, database: str = SUPERUSER) -> str:
        """Run statements as the superuser; return what they print."""
        psql = need("psql", PACKAGE)
        words = [word for statement in statements for word in ("-c", statement)]
        done = subprocess.run(
            [*(psql, *PSQL, "-h", self.folder, "-p", str(self.port), "-d", database), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def new_database(self, template: str = TEMPLATE) -> str:
        """The name of a fresh database, with the current schema or like another one."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        if template == TEMPLATE:
            self._make_template()
        self.run_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def rows(self, name: str, sql: str) -> list[tuple[object, ...]]:
        """What one statement finds in a database; quicker than a program that has to start."""

        async def fetch() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(
                host=str(self.folder), port=self.port, user=SUPERUSER, database=name
            )
            try:
                return [tuple(row) for row in await connection.fetch(sql)]
            finally:
                connection.terminate()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(fetch())).result()

    def clear(self, name: str) -> None:
        """Empty all tables of a database."""
        self.rows(name, f"TRUNCATE {', '.join(table_names())}")

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self.run_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _make_template(self) -> None:
        if self.run_sql(f"SELECT 1 FROM pg_database WHERE datname = '{TEMPLATE}'"):
            return
        from moorage.db.postgres import PostgresDatabase
        from moorage.db.postgres_pool import PostgresOptions

        async def migrate() -> None:
            database = PostgresDatabase(PostgresOptions(url=self.url(TEMPLATE)))
            await database.start()
            await database.close()

        self.run_sql(f"CREATE DATABASE {TEMPLATE}")
        # In a thread, because the test that asks may be running a loop of its own.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(migrate())).result()

    def config(self, database: str, **settings: object) -> Mapping[str, object]:
        """The settings of a registry with its catalogue in the database."""
        return {"database": {"postgres": {"url": self.url(database), **settings}}}
