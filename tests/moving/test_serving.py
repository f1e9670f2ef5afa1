# SPDX-License-Identifier: Apache-2.0
"""A registry of several processes serves while `moorage migrate database` moves its catalogue."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.moving.catalogues import Catalogue
from tests.moving.clients import Client, failures_of
from tests.support.commands import PROGRAM, Commands
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import PostgresServer

CLIENTS = 4
KILLS = 12
QUIET: dict[str, object] = {"log": {"accesslog": {"disabled": True}}}


class Registry:
    """A registry that has images in SQLite and is to go to PostgreSQL."""

    def __init__(self, folder: Path, url: str, *, images: int) -> None:
        self.running = RunningRegistry(folder / "registry", QUIET, arguments=("--workers", "2"))
        self.running.root.mkdir(parents=True)
        self.catalogue = Catalogue(self.running.root / "moorage.db")
        self.catalogue.make(images)
        previous = {"sqlite": {"path": str(self.catalogue.path)}}
        self._both = {"database": {"postgres": {"url": url}, "previous": previous}, **QUIET}
        self._after = {"database": {"postgres": {"url": url}}, **QUIET}
        self.clients = [Client(f"http://{self.running.host}", n) for n in range(CLIENTS)]

    def start(self, *, follow: bool = True) -> None:
        """Start it with both databases, or with the file alone."""
        self.running.config = self._both if follow else QUIET
        self.running.start()

    def migrate(self, *arguments: object) -> list[str]:
        """The command that moves the catalogue."""
        self.running.config = self._both
        config = str(self.running.write_config())
        return [*PROGRAM, "migrate", "database", "--config", config, *map(str, arguments)]

    def restart_on_postgres(self) -> None:
        """Restart it without the file."""
        assert self.running.stop() == 0
        self.running.config = self._after
        self.running.start()

    def check_all(self) -> None:
        """Everything promised to any client is there."""
        with Wire(f"http://{self.running.host}") as wire:
            for client in self.clients:
                client.check_all(wire)


@pytest.fixture
def registry(
    tmp_path: Path, postgres_server: PostgresServer, postgres_database: str
) -> Iterator[Registry]:
    """A registry that is not running yet; it and its clients end with the test."""
    registry = Registry(tmp_path, postgres_server.url(postgres_database), images=2000)
    yield registry
    for client in registry.clients:
        if client.requests:
            client.stop()
    process = registry.running.process
    if process is not None and process.poll() is None:
        registry.running.kill()


def test_nothing_fails_and_nothing_is_lost_while_the_catalogue_moves(registry: Registry) -> None:
    """Clients push and pull during the whole move: not one request fails, not one read is old.

    Afterwards every acknowledged tag and digest is in PostgreSQL, and the file is what it was when
    it was marked.
    """
    registry.start()
    for client in registry.clients:
        client.start()
    time.sleep(0.5)

    done = subprocess.run(
        registry.migrate("--rate", "12000"), capture_output=True, text=True, check=False
    )
    at_the_mark = registry.catalogue.rows()
    pushed_before = sum(len(client.blobs) for client in registry.clients)
    time.sleep(1.0)
    for client in registry.clients:
        client.stop()

    slowest = max(client.slowest for client in registry.clients)
    requests = sum(client.requests for client in registry.clients)
    sys.stdout.write(f"{done.stdout}{requests} deeds, the slowest took {slowest:.2f} s\n")
    assert done.returncode == 0, done.stderr
    assert failures_of(registry.clients) == []
    assert sum(len(client.blobs) for client in registry.clients) > pushed_before
    assert registry.catalogue.rows() == at_the_mark
    assert "database.previous can be removed" in registry.running.log
    registry.check_all()
    registry.restart_on_postgres()
    registry.check_all()
    assert registry.catalogue.rows() == at_the_mark
    assert "Traceback" not in registry.running.log


def test_a_killed_move_goes_on(registry: Registry, pytestconfig: pytest.Config) -> None:
    """The tool is killed at random moments; serving goes on, and the last run moves everything."""
    seed = str(pytestconfig.getoption("--seed") or Random().randrange(10**9))
    sys.stdout.write(f"repeat with --seed {seed}\n")
    random = Random(seed)
    registry.start()
    for client in registry.clients:
        client.start()

    killed = 0
    for attempt in range(KILLS):
        process = subprocess.Popen(
            # Every other run is too slow to come to an end before it is killed.
            registry.migrate(*(() if attempt % 2 else ("--rate", "6000"))),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(random.uniform(0.3, 2.5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
    done = subprocess.run(registry.migrate(), capture_output=True, text=True, check=False)
    for client in registry.clients:
        client.stop()

    sys.stdout.write(f"{killed} killed; {done.stdout}")
    assert done.returncode == 0, done.stderr
    assert killed > 0
    assert failures_of(registry.clients) == []
    registry.restart_on_postgres()
    registry.check_all()
    assert "Traceback" not in registry.running.log


def test_a_registry_that_would_not_follow_is_found(registry: Registry) -> None:
    """Nothing is moved under a registry that serves from the file alone."""
    registry.start(follow=False)
    with Wire(f"http://{registry.running.host}") as wire:
        assert wire.get("/v2/a/b/tags/list").status == 200

    done = subprocess.run(registry.migrate(), capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "would not follow to PostgreSQL: restart the registry" in done.stderr


def test_a_moved_file_is_not_served(registry: Registry) -> None:
    """A registry whose configuration names only the file does not start after the move."""
    done = subprocess.run(registry.migrate(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    registry.running.config = QUIET
    command = [*PROGRAM, "serve", str(registry.running.write_config())]
    alone = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert alone.returncode != 0
    assert "was moved to PostgreSQL" in alone.stderr
    assert "set database.postgres" in alone.stderr
    registry.start()
    with Wire(f"http://{registry.running.host}") as wire:
        assert wire.get("/v2/a/b/tags/list").status == 200
    assert registry.running.stop() == 0


def test_the_command_says_what_is_wrong(registry: Registry, tmp_path: Path) -> None:
    """Arguments that do not agree with the configuration are refused in a sentence."""
    other = tmp_path / "other.db"
    Catalogue(other).make(1)
    registry.migrate()
    commands = Commands(registry.running.folder / "config.yml")

    assert "not " in commands.run("migrate", "database", other).errors
    assert "is no file" in commands.run("migrate", "database", tmp_path / "none").errors
    url = "postgresql://127.0.0.1:1/x"
    wrong = commands.run("migrate", "database", registry.catalogue.path, url)
    assert (wrong.code, "another one than" in wrong.errors) == (2, True)
    ended = commands.run("migrate", "database", "--abort")
    assert (ended.code, ended.errors) == (0, "")
    assert "goes on with" in ended.text
