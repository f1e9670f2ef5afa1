# SPDX-License-Identifier: Apache-2.0
"""A whole registry whose catalogue is in PostgreSQL: served, restarted under, and worked on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import bcrypt
import pytest

from tests.support.commands import Commands
from tests.support.images import manifest_path, push_image, random_image
from tests.support.postgres import ENCODED, PASSWORD
from tests.support.registry import RunningRegistry, free_port
from tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer


def token(registry: RunningRegistry) -> str:
    """An anonymous token to pull."""
    query = urlencode({"service": "moorage", "scope": "repository:a:pull"})
    with Wire(f"http://{registry.host}") as wire:
        answer = wire.request("GET", f"/token?{query}")
        assert answer.status == 200, answer
        found: str = json.loads(answer.body)["token"]
        return found


def accepts(registry: RunningRegistry, issued: str) -> bool:
    """Whether the registry takes a token as one of its own."""
    with Wire(f"http://{registry.host}") as wire:
        answer = wire.request("GET", "/v2/", headers=[("Authorization", f"Bearer {issued}")])
        assert answer.status in (200, 401), answer
        return answer.status == 200


@pytest.mark.parametrize("secret", [None, "a secret of sixteen or more"])
def test_replicas_accept_each_others_tokens(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path, secret: str | None
) -> None:
    """The key is in the database or made from the secret, and in no file of one replica."""
    users = tmp_path / "htpasswd"
    users.write_text(f"ada:{bcrypt.hashpw(b'password', bcrypt.gensalt(4)).decode()}\n")
    config = {
        **postgres_server.config(postgres_database),
        "auth": {"htpasswd": {"path": str(users)}, "anonymous": "pull"},
        "http": {"secret": secret} if secret else {},
    }
    with (
        RunningRegistry(tmp_path / "one", {**config, "storage": folder(tmp_path / "1")}) as one,
        RunningRegistry(tmp_path / "two", {**config, "storage": folder(tmp_path / "2")}) as two,
    ):
        issued = token(one)
        assert accepts(one, issued)
        assert accepts(two, issued)
        assert accepts(one, token(two))
        assert not accepts(two, issued[:-2])
    kept = postgres_server.run_sql("SELECT count(*) FROM signing_keys", database=postgres_database)
    assert kept == ("0" if secret else "1")


def folder(root: Path) -> dict[str, object]:
    """A `storage` section."""
    return {"filesystem": {"rootdirectory": str(root)}}


def test_a_registry_outlives_a_restart_of_its_database(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    """While PostgreSQL is away requests get 503 and when to come back; then all is as it was."""
    image = random_image()
    config = postgres_server.config(postgres_database, connecttimeout="500ms", poolsize=3)
    with (
        RunningRegistry(tmp_path, config, arguments=["--workers", "2"]) as registry,
        Wire(f"http://{registry.host}") as wire,
    ):
        push_image(wire, "a", image, "1")
        postgres_server.stop()
        try:
            for path in (manifest_path("a", "1"), "/v2/a/tags/list", "/readyz"):
                answer = wire.request("GET", path)
                assert answer.status == 503, answer
                assert int(answer.headers["Retry-After"]) > 0
            assert wire.request("POST", "/v2/a/blobs/uploads/").status == 503
            assert wire.request("GET", "/healthz").status == 200
        finally:
            postgres_server.start()
        for _ in range(4):
            with Wire(f"http://{registry.host}") as fresh:
                assert fresh.request("GET", manifest_path("a", "1")).status == 200
                assert fresh.request("GET", "/readyz").status == 200
                push_image(fresh, "b", random_image(), "1")
        assert ENCODED not in registry.log
        assert PASSWORD not in registry.log
        assert "Traceback" not in registry.log


def test_commands_work_on_it(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    """ls, check, export and import find the registry that the settings name."""
    image = random_image()
    config = postgres_server.config(postgres_database)
    with (
        RunningRegistry(tmp_path / "r", config) as registry,
        Wire(f"http://{registry.host}") as wire,
    ):
        push_image(wire, "team/app", image, "1")
        commands = Commands.of(registry)
        (listed,) = commands.run("ls", "--json").json()
        assert (listed["name"], listed["tags"], listed["size"] > 0) == ("team/app", 1, True)
        checked = commands.run("check", "--json").json()
        assert (checked["problems"], checked["blobs"], checked["bytes"] > 0) == (
            0,
            len(image.blobs),
            True,
        )
        archive = tmp_path / "image.tar"
        exported = commands.run("export", "team/app:1", archive)
        assert exported.code == 0, exported.errors
        imported = commands.run("import", archive, "--repository", "copy", "--tag", "2")
        assert imported.code == 0, imported.errors
        answer = wire.request("GET", manifest_path("copy", "2"))
        assert (answer.status, answer.body) == (200, image.manifest.payload)


def test_a_command_says_that_there_is_no_registry(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """In an empty database a command finds nothing and makes nothing, dry runs of import too."""
    database = postgres_server.new_database("template1")
    commands = Commands.of(RunningRegistry(tmp_path, postgres_server.config(database)))

    for words in (
        ["ls"],
        ["check"],
        ["backup", tmp_path / "backup"],
        ["import", tmp_path / "nothing", "--dry-run"],
    ):
        outcome = commands.run(*words)
        assert outcome.code == 2, outcome
        assert "there is no registry in it" in outcome.errors
    assert (
        postgres_server.rows(database, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    )
    postgres_server.drop(database)


def test_a_wrong_password_is_one_sentence(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """A registry that cannot log in does not start, and says why without the password."""
    url = postgres_server.url("postgres").replace(ENCODED, "wrong-word")
    registry = RunningRegistry(tmp_path, {"database": {"postgres": {"url": url}}})
    registry.folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "moorage", "serve", str(registry.write_config())],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode != 0
    assert "password authentication failed" in done.stderr
    assert "correct the user or the password in database.postgres.url" in done.stderr
    assert "wrong-word" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_driver_is_one_sentence(tmp_path: Path) -> None:
    """Without asyncpg the error says what to install."""
    (tmp_path / "asyncpg.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'asyncpg'\", name='asyncpg')"
    )
    done = subprocess.run(
        [sys.executable, "-m", "moorage", "serve"],
        env={
            "PYTHONPATH": str(tmp_path),
            "REGISTRY_DATABASE_POSTGRES_URL": "postgresql://",
            "REGISTRY_HTTP_ADDR": f"127.0.0.1:{free_port()}",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "data"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode != 0
    assert "install moorage[postgres]" in done.stderr
    assert "Traceback" not in done.stderr
