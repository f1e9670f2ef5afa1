# SPDX-License-Identifier: Apache-2.0
"""Backup, restore and rebuild with PostgreSQL and an object store, and from kind to kind."""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Commands
from tests.support.images import Image, push_image, random_image
from tests.support.registry import RunningRegistry, merge
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.object_servers import ObjectServer
    from tests.support.postgres import PostgresServer

SECONDS = 60.0
SECRET = "a secret that both registries know"


def blob(wire: Wire, name: str, digest: str) -> bytes:
    """A blob's bytes, from the registry or from where it sends its clients."""
    answer = wire.get(f"/v2/{name}/blobs/{digest}")
    if answer.status != 307:
        return answer.body
    with urllib.request.urlopen(answer.headers["Location"], timeout=SECONDS) as elsewhere:
        content: bytes = elsewhere.read()
        return content


def is_whole(wire: Wire, name: str, reference: str, image: Image) -> bool:
    """Whether the image is pulled as it was pushed."""
    manifest = wire.get(f"/v2/{name}/manifests/{reference}", ("Accept", "*/*"))
    return manifest.body == image.manifest.payload and all(
        blob(wire, name, content.digest) == content.payload for content in image.blobs
    )


class Fleet:
    """Registries on PostgreSQL and S3."""

    def __init__(self, postgres: PostgresServer, store: ObjectServer, folder: Path) -> None:
        self._postgres = postgres
        self._store = store
        self._folder = folder
        self._databases: list[str] = []

    def database(self) -> Mapping[str, object]:
        """The settings of a fresh database."""
        self._databases.append(self._postgres.new_database())
        return self._postgres.config(self._databases[-1])

    def bucket(self) -> Mapping[str, object]:
        """The settings of a fresh bucket."""
        section = self._store.settings()
        return {"storage": section}

    def registry(self, name: str, *settings: Mapping[str, object]) -> RunningRegistry:
        """A registry with these settings, not running."""
        config: dict[str, object] = {"http": {"secret": SECRET}}
        for more in settings:
            config = merge(config, more)
        return RunningRegistry(self._folder / name, config)

    def close(self) -> None:
        """Drop the databases."""
        for name in self._databases:
            self._postgres.drop(name)


@pytest.fixture
def fleet(
    postgres_server: PostgresServer, s3_server: ObjectServer, tmp_path: Path
) -> Iterator[Fleet]:
    """Where registries come from."""
    fleet = Fleet(postgres_server, s3_server, tmp_path)
    yield fleet
    fleet.close()


@pytest.mark.parametrize("there", [True, False], ids=["to-the-fleet", "from-the-fleet"])
def test_a_backup_moves_between_kinds(fleet: Fleet, tmp_path: Path, *, there: bool) -> None:
    """What was backed up from SQLite and a folder is restored to PostgreSQL and S3, and back."""
    one, other = fleet.registry("laptop"), fleet.registry("fleet", fleet.database(), fleet.bucket())
    source, target = (one, other) if there else (other, one)
    small, large = random_image(layers=2), random_image(layers=1, layer_size=6_000_000)
    with source, Wire(f"http://{source.host}") as wire:
        push_image(wire, "team/app", small, "1.0")
        push_image(wire, "team/app", large, "2.0")
        outcome = Commands.of(source).run("backup", tmp_path / "backup", "--json")
    assert outcome.code == 0, outcome

    outcome = Commands.of(target).run("restore", tmp_path / "backup", "--json")

    assert outcome.code == 0, outcome
    assert outcome.json()["rows"]["tags"] == 2
    with target, Wire(f"http://{target.host}") as wire:
        assert is_whole(wire, "team/app", "1.0", small)
        assert is_whole(wire, "team/app", "2.0", large)
        # New rows get numbers behind those that came along.
        new = random_image()
        push_image(wire, "team/new", new, "1.0")
        assert is_whole(wire, "team/new", "1.0", new)
    again = Commands.of(target).run("restore", tmp_path / "backup")
    assert again.code == 2, again
    check = Commands.of(target).run("check", "--json")
    assert check.json()["problems"] == 0, check.text


def test_a_fleet_is_rebuilt(fleet: Fleet) -> None:
    """With the database gone, bucket and secret are enough."""
    bucket = fleet.bucket()
    often = {"storage": {"snapshot": {"interval": "1s"}}}
    never = {"storage": {"snapshot": {"enabled": False}}}
    lost = fleet.database()
    before, after = random_image(layers=2), random_image(layers=1, layer_size=6_000_000)
    first = fleet.registry("first", lost, bucket, often)
    with first, Wire(f"http://{first.host}") as wire:
        push_image(wire, "team/app", before, "1.0")
        deadline = time.monotonic() + SECONDS
        while "took a snapshot" not in first.log or '"tags":1' not in first.log.replace(" ", ""):
            assert time.monotonic() < deadline, first.log[-2000:]
            time.sleep(0.1)
    second = fleet.registry("second", lost, bucket, never)
    with second, Wire(f"http://{second.host}") as wire:
        push_image(wire, "late", after, "2.0")
    new = fleet.registry("new", fleet.database(), bucket, never)

    outcome = Commands.of(new).run("rebuild", "--json")

    assert outcome.code == 0, outcome
    with new, Wire(f"http://{new.host}") as wire:
        assert is_whole(wire, "team/app", "1.0", before)
        assert is_whole(wire, "late", after.manifest.digest, after)
        push_image(wire, "late", after, "3.0")
    stranger = fleet.registry("stranger", fleet.database(), bucket, {"http": {"secret": "x" * 20}})
    refused = Commands.of(stranger).run("rebuild")
    assert refused.code == 2
    assert "--trust-snapshot" in refused.errors
