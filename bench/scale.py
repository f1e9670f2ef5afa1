# SPDX-License-Identifier: Apache-2.0
"""How a registry answers over a catalogue of a size that few ever have, on either engine.

A server is started over the generated catalogue and asked one thing at a time, anywhere in it: what
is measured is how long one client waits. The plans are the engine's own, for the very statements
that the server runs, over the very same rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bench import catalogue
from bench.catalogue import TABLES, Scale, layer_digest, manifest, repository_name, tag_name
from bench.comparison import say
from bench.content import ACCEPT, MANIFEST_TYPE
from bench.contestants import Moorage, Setup, registry_config
from bench.load import run_wrk
from bench.processes import memory
from bench.watching import WatchedDatabase
from moorage.app import manifest_rules
from moorage.content.changes import Actor
from moorage.content.manifests import ManifestPush
from moorage.content.service import build_content
from moorage.db.sqlite import SQLiteDatabase
from moorage.events.log import EventLog
from moorage.settings.sections.validation import Validation
from moorage.spec.digests import Digest
from moorage.spec.names import RepositoryName, TagName
from moorage.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from bench.contestants import Contestant
    from bench.wire import Connection
    from moorage.content.service import Content
    from moorage.db.protocol import Database

BATCH_REPOSITORIES = 2_000
REQUESTS = 3_000
WARM_UP = 300
PAGE = 100
SEED = 20261121


class Engine(Protocol):
    """A database that a catalogue can be put into and asked about."""

    name: str

    def registry(self, folder: Path) -> Contestant:
        """A registry over this database, not yet started."""

    def fill(self, scale: Scale) -> None:
        """Put the catalogue in, as fast as the engine can take it."""

    def database(self) -> Database:
        """The same database as the program opens it."""

    async def plan(self, sql: str, arguments: tuple[object, ...]) -> str:
        """How the engine runs a statement."""

    def bytes(self) -> int:
        """How much room the catalogue takes."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to ask for, and the status that it must be answered with."""

    method: str
    target: str
    status: int = 200
    content_type: str = ""
    body: bytes = b""

    def send(self, connection: Connection) -> None:
        """Ask, and read the whole answer."""
        headers = {"Content-Type": self.content_type} if self.body else {"Accept": ACCEPT}
        reply = connection.request(self.method, self.target, headers=headers, body=self.body)
        reply.expect(self.status)


class Asking:
    """The requests of each row, each for something else anywhere in the catalogue."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._random = random.Random(SEED)
        self._pushed = 0

    def rows(self) -> Mapping[str, Callable[[], Request]]:
        """Row by row what makes the next request."""
        return {
            "manifest GET by tag": lambda: self._by_tag("GET"),
            "manifest HEAD by tag": lambda: self._by_tag("HEAD"),
            "manifest GET by digest": self._by_digest,
            "blob HEAD": self._blob,
            "manifest PUT under a new tag": self._push,
            "page of 10 tags": self._tags,
            "catalog page of 100": self._catalog,
            "referrers of a manifest": self._referrers,
        }

    def _repository(self) -> int:
        return self._random.randrange(self._scale.repositories)

    def _by_tag(self, method: str) -> Request:
        tag = tag_name(self._random.randrange(self._scale.tags_each))
        return Request(method, f"/v2/{repository_name(self._repository())}/manifests/{tag}")

    def _by_digest(self) -> Request:
        repository = self._repository()
        number = self._random.randrange(self._scale.manifests_each)
        digest = manifest(self._scale, repository, number).digest
        return Request("GET", f"/v2/{repository_name(repository)}/manifests/{digest}")

    def _blob(self) -> Request:
        repository = self._repository()
        digest = layer_digest(repository, 0)
        return Request("HEAD", f"/v2/{repository_name(repository)}/blobs/{digest}")

    def _push(self) -> Request:
        repository = self._repository()
        self._pushed += 1
        note = f"-{self._pushed}"
        payload = manifest(self._scale, repository, 0, note=note).payload
        target = f"/v2/{repository_name(repository)}/manifests/new{note}"
        return Request("PUT", target, 201, MANIFEST_TYPE, payload)

    def _tags(self) -> Request:
        name = repository_name(self._repository())
        return Request("GET", f"/v2/{name}/tags/list?n={self._scale.tags_each}")

    def _catalog(self) -> Request:
        last = repository_name(self._repository())
        return Request("GET", f"/v2/_catalog?n={PAGE}&last={last}")

    def _referrers(self) -> Request:
        repository = self._repository()
        subject = manifest(self._scale, repository, 0).digest
        return Request("GET", f"/v2/{repository_name(repository)}/referrers/{subject}")


Result = dict[str, Any]


def measure(engine: Engine, scale: Scale, folder: Path) -> Result:
    """Fill the database, ask it everything, and let it explain itself."""
    started = time.perf_counter()
    engine.fill(scale)
    say(f"{engine.name}: filled in {time.perf_counter() - started:.0f} s")
    result: Result = {"rows": {}, "plans": asyncio.run(_plans(engine, scale))}
    registry = engine.registry(folder / f"registry-{engine.name.lower()}")
    started = time.perf_counter()
    registry.start()
    result["start"] = time.perf_counter() - started
    try:
        for row, next_request in Asking(scale).rows().items():
            result["rows"][row] = _times(registry, next_request)
            say(f"{engine.name}: {row}: {result['rows'][row]}")
        result["rate"] = _rate(registry, scale)
        result["resident"] = memory(registry.pid).resident
    finally:
        registry.stop()
    result["bytes"] = engine.bytes()
    return result


def _times(registry: Contestant, next_request: Callable[[], Request]) -> Mapping[str, float]:
    """Milliseconds that one client waits for an answer; making the request is not counted."""
    taken: list[float] = []
    with registry.connect() as connection:
        for _ in range(WARM_UP + REQUESTS):
            request = next_request()
            started = time.perf_counter()
            request.send(connection)
            taken.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(taken[WARM_UP:], n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


def _rate(registry: Contestant, scale: Scale) -> float:
    """Manifests by tag a second to 16 connections."""
    lua = f"""
request = function()
  local r = math.random(0, {scale.repositories - 1})
  local path = string.format("/v2/team-%04d/application-%06d/manifests/1.%d.0",
    math.floor(r / {catalogue.REPOSITORIES_IN_NAMESPACE}), r, math.random(0, {scale.tags_each - 1}))
  return wrk.format(nil, path)
end
"""
    return run_wrk(registry, "/", 5, headers={"Accept": ACCEPT}, lua=lua)["rate"]


async def _plans(engine: Engine, scale: Scale) -> dict[str, list[list[str]]]:
    """Each kind of request, with the statements that it runs and their plans."""
    database = engine.database()
    await database.start()
    watched = WatchedDatabase(database)
    content = build_content(
        watched, MemoryStore(), EventLog(), boot="", rules=manifest_rules(Validation())
    )
    plans: dict[str, list[list[str]]] = {}
    try:
        for name, ask in _questions(content, scale):
            await ask()
            plans[name] = [
                [" ".join(sql.split()), await engine.plan(sql, arguments)]
                for sql, arguments in watched.take()
            ]
    finally:
        await database.close()
    return plans


def _questions(
    content: Content, scale: Scale
) -> Iterator[tuple[str, Callable[[], Awaitable[Any]]]]:
    repository = scale.repositories // 2
    name = RepositoryName(repository_name(repository))
    image = manifest(scale, repository, 0)
    new = manifest(scale, repository, 0, note="-explained")
    tag, actor = TagName(tag_name(0)), Actor("bench")
    push = ManifestPush(new.payload, MANIFEST_TYPE, None, [TagName("explained")])
    layer = Digest(layer_digest(repository, 0))
    yield "manifest by tag", lambda: content.manifests.get(name, tag)
    yield "manifest by digest", lambda: content.manifests.get(name, Digest(image.digest))
    yield "blob HEAD", lambda: content.blobs.find(name, layer)
    yield "manifest PUT", lambda: content.manifests.push(name, push, actor)
    yield "page of tags", lambda: content.tags.page(name, "", PAGE)
    yield "catalog page", lambda: content.repositories.page(name, PAGE)
    yield "referrers", lambda: content.referrers.page(name, Digest(image.digest), (), "", PAGE)
    yield (
        "mount without a source",
        lambda: content.blobs.mount(
            RepositoryName("team-0000/mounted"), layer, None, lambda _: True, actor
        ),
    )
    yield "deleting a tag", lambda: content.tags.delete(name, TagName("explained"), actor)


class ScaledRegistry(Moorage):
    """`moorage serve` over a catalogue that was there before it."""

    def __init__(self, folder: Path, database: Mapping[str, str]) -> None:
        """`database` are the settings that name the catalogue."""
        super().__init__(folder, Setup())
        self._database = database

    def config(self) -> str:
        """The configuration file's text."""
        # The catalogue has no bytes, and two million manifests would all be given records at once.
        return registry_config(self, {**self._database, "storage.snapshot.enabled": "false"})


class SQLiteEngine:
    """One file."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "moorage.db"

    def registry(self, folder: Path) -> Contestant:
        """A registry over the file."""
        return ScaledRegistry(folder, {"database.sqlite.path": str(self._path)})

    def fill(self, scale: Scale) -> None:
        """Insert without syncing: the file is thrown away if this fails."""
        asyncio.run(_make_schema(self.database()))
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            for pragma in (
                "synchronous = OFF",
                "cache_size = -2000000",
                "locking_mode = EXCLUSIVE",
            ):
                connection.execute(f"PRAGMA {pragma}")
            for batch in batches(scale):
                connection.execute("BEGIN")
                for table, rows in batch.items():
                    marks = ", ".join("?" * len(TABLES[table]))
                    columns = ", ".join(TABLES[table])
                    sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
                    connection.executemany(sql, sorted(rows))
                connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def database(self) -> Database:
        """The file as the program opens it."""
        return SQLiteDatabase(self._path)

    async def plan(self, sql: str, arguments: tuple[object, ...]) -> str:
        """The steps of EXPLAIN QUERY PLAN."""
        from moorage.db.sqlite_dialect import statement

        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            steps = connection.execute(f"EXPLAIN QUERY PLAN {statement(sql)}", arguments)
            return "; ".join(step[3] for step in steps)

    def bytes(self) -> int:
        """The size of the file."""
        return self._path.stat().st_size


async def _make_schema(database: Database) -> None:
    await database.start()
    await database.close()


def batches(scale: Scale) -> Iterator[dict[str, list[catalogue.Row]]]:
    """All rows, some thousand repositories at a time."""
    for first in range(0, scale.repositories, BATCH_REPOSITORIES):
        last = min(first + BATCH_REPOSITORIES, scale.repositories)
        yield catalogue.rows(scale, first, last)
