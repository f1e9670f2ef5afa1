# SPDX-License-Identifier: Apache-2.0
"""Starting on PostgreSQL: replicas at once, and one clear sentence for whatever is wrong."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from moorage.db.migrations import all_migrations
from moorage.db.postgres import PostgresDatabase
from moorage.db.postgres_errors import described
from moorage.db.postgres_pool import PostgresOptions
from moorage.spec.errors import Unavailable
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import ENCODED, PASSWORD, SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import PostgresServer

NEWEST = all_migrations()[-1].version


@pytest.fixture
def empty(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database without any table."""
    name = postgres_server.new_database("template1")
    yield name
    postgres_server.drop(name)


def start(*databases: PostgresDatabase) -> None:
    """Start all of them at once and close them."""

    async def started() -> None:
        await asyncio.gather(*(database.start() for database in databases))
        for database in databases:
            assert await database.fetch_one("SELECT 1") == (1,)
        await asyncio.gather(*(database.close() for database in databases))

    asyncio.run(started())


def refused(url: str, *, must_exist: bool = False, password_file: Path | None = None) -> str:
    """What the operator is told."""
    options = PostgresOptions(url=url, connect_seconds=0.5, password_file=password_file)
    with pytest.raises(Unavailable) as error:
        start(PostgresDatabase(options, must_exist=must_exist))
    text = str(error.value)
    for secret in (PASSWORD, ENCODED, "wrong-word"):
        assert secret not in text
    return text


def test_replicas_may_start_at_once(postgres_server: PostgresServer, empty: str) -> None:
    """Of several that find an empty database, one makes the schema and the others wait for it."""
    options = PostgresOptions(url=postgres_server.url(empty))

    start(*(PostgresDatabase(options) for _ in range(8)))

    versions = postgres_server.run_sql("SELECT count(*) FROM moorage_schema", database=empty)
    assert versions == str(NEWEST)


def test_a_newer_schema_is_refused(postgres_server: PostgresServer, empty: str) -> None:
    """A database of a newer program is not touched, and the error says what to do."""
    options = PostgresOptions(url=postgres_server.url(empty))
    start(PostgresDatabase(options))
    postgres_server.run_sql("INSERT INTO moorage_schema VALUES (9999, 0)", database=empty)

    text = refused(options.url)

    assert re.search(
        rf"127\.0\.0\.1:\d+/{empty} cannot be used: .*version 9999.*newer Moorage", text
    )


def test_an_older_schema_is_renewed(postgres_server: PostgresServer, empty: str) -> None:
    """What was there stays, and only what is missing is added."""
    first = all_migrations()[0]
    own = "CREATE TABLE moorage_schema (version BIGINT PRIMARY KEY, at BIGINT NOT NULL)"
    row = "INSERT INTO repositories (name, created_at) VALUES ('kept', 1)"
    version = "INSERT INTO moorage_schema VALUES (1, 0)"
    postgres_server.run_sql(*first.statements, own, version, row, database=empty)

    start(PostgresDatabase(PostgresOptions(url=postgres_server.url(empty))))

    found = postgres_server.run_sql(
        "SELECT max(version) FROM moorage_schema",
        "SELECT name FROM repositories",
        database=empty,
    )
    assert found.split() == [str(NEWEST), "kept"]


def test_a_command_makes_no_registry(postgres_server: PostgresServer, empty: str) -> None:
    """Whoever only wants to read a registry leaves a database without one as it is."""
    text = refused(postgres_server.url(empty), must_exist=True)

    assert "there is no registry in it" in text
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert postgres_server.run_sql(tables, database=empty) == "0"


def test_what_is_wrong_with_the_url_is_said(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Each mistake has a sentence that names it, and none of them holds the password."""
    url = postgres_server.url("nowhere")
    port = postgres_server.port
    assert 'database "nowhere" does not exist: make it' in refused(url)

    wrong = url.replace(ENCODED, "wrong-word")
    text = refused(wrong)
    assert f"127.0.0.1:{port}/nowhere cannot be used: password authentication failed" in text
    assert "correct the user or the password" in text

    assert "is it running" in refused(url.replace(f":{port}/", ":1/"))
    assert "host name is not known" in refused(url.replace("127.0.0.1", "nobody.invalid"))
    assert "is not understood" in refused(url.replace(ENCODED, PASSWORD))
    assert "is not understood" in refused(url + "?sslmode=perhaps")
    missing = refused(url, password_file=tmp_path / "missing")
    assert "missing: No such file" in missing


def test_pgbouncer_without_its_setting_is_noticed(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    """What would go wrong later does not start, and the setting is named."""
    with pgbouncer(postgres_server) as port:
        text = refused(f"postgresql://postgres@127.0.0.1:{port}/{postgres_database}")

    assert "set database.postgres.pgbouncer" in text


def test_a_password_may_stand_in_a_file(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    """A mounted secret is used, also one that ends with a new line."""
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    url = postgres_server.url(postgres_database).replace(f":{ENCODED}", "")

    start(PostgresDatabase(PostgresOptions(url=url, password_file=secret)))


def test_the_variables_of_libpq_count(
    postgres_server: PostgresServer, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the URL leaves out comes from the environment."""
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", str(postgres_server.port))
    monkeypatch.setenv("PGUSER", SUPERUSER)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGDATABASE", postgres_database)

    start(PostgresDatabase(PostgresOptions(url="postgresql://")))


def test_missing_rights_are_said(postgres_server: PostgresServer, empty: str) -> None:
    """A role that may not make tables is told which right it needs."""
    role = f"guest_{empty}"
    postgres_server.run_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'wrong-word'")
    url = postgres_server.url(empty).replace(f"{SUPERUSER}:{ENCODED}", f"{role}:wrong-word")

    text = refused(url)

    assert "permission denied for schema public" in text
    assert "GRANT it CREATE" in text
    postgres_server.run_sql(f"DROP ROLE {role}")


def test_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    """Names and manifests are UTF-8; a database of something else says how to make a right one."""
    postgres_server.run_sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")

    text = refused(postgres_server.url("latin"))

    assert "its encoding is LATIN1" in text
    postgres_server.drop("latin")


def test_a_standby_is_refused(postgres_server: PostgresServer, postgres_database: str) -> None:
    """A server that cannot be written is not taken for the primary."""
    change = f"ALTER DATABASE {postgres_database} SET default_transaction_read_only = "
    postgres_server.run_sql(change + "on")

    assert "no host of database.postgres.url is a primary" in refused(
        postgres_server.url(postgres_database)
    )
    postgres_server.run_sql(change + "off")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u:p@db.example.com:5432/m", " db.example.com:5432/m"),
        ("postgresql://a:1,b:2/m", " a:1,b:2/m"),
        ("postgresql://", ""),
        ("postgresql:///m?password=secret", ""),
        ("postgresql://u:sec/ret@db.example.com/m", ""),
        ("postgresql://u:1#ret@db.example.com/m", ""),
        ("postgresql://u:1?ret@db.example.com/m", ""),
        ("postgresql://u:s@cret@db.example.com/m", " db.example.com/m"),
    ],
)
def test_a_database_is_named_without_its_password(url: str, name: str) -> None:
    """What could be a part of a password that was not encoded is left out."""
    text = described(url)

    assert text.startswith("the PostgreSQL database")
    assert text.removeprefix("the PostgreSQL database").strip("/ m") == name.strip("/ m")
    assert "ret" not in text
