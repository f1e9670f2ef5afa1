# SPDX-License-Identifier: Apache-2.0
"""A registry that moves from one store to another, and clients that do not stop for it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.support.commands import PROGRAM, Commands
from tests.support.images import (
    Content,
    Image,
    blob_path,
    manifest_path,
    push_image,
    random_image,
)
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Store = dict[str, object]
REPOSITORY = "team/app"
TEMPORARY_REDIRECT = 307
# One that is stored with one request by object stores, and one that needs several parts.
LAYER_SIZES = (200_000, 1_500_000)
LONG_LAYER = 7 * 1024 * 1024


@dataclass
class Shelf:
    """Images that were pushed, by tag; each can be pulled at any time."""

    images: dict[str, Image] = field(default_factory=dict)

    def push(self, wire: Wire, tag: str, image: Image) -> None:
        """Push an image; from then on it is there."""
        push_image(wire, REPOSITORY, image, tag)
        self.images[tag] = image

    def pull(self, wire: Wire, tag: str) -> None:
        """Pull an image whole and compare every byte."""
        image = self.images[tag]
        accept = ("Accept", image.manifest.media_type)
        answer = wire.get(manifest_path(REPOSITORY, tag), accept)
        assert (answer.status, answer.body) == (200, image.manifest.payload), answer
        for blob in image.blobs:
            compare(wire, blob)

    def pull_all(self, wire: Wire) -> None:
        """Pull everything."""
        for tag in list(self.images):
            self.pull(wire, tag)

    @property
    def blobs(self) -> dict[str, Content]:
        """All distinct blobs."""
        images = list(self.images.values())
        return {blob.digest: blob for image in images for blob in image.blobs}


def compare(wire: Wire, blob: Content) -> None:
    """Pull a blob, from wherever the registry sends its clients."""
    answer = wire.get(blob_path(REPOSITORY, blob.digest))
    if answer.status == TEMPORARY_REDIRECT:
        with urllib.request.urlopen(answer.location, timeout=60) as elsewhere:
            assert elsewhere.read() == blob.payload
        return
    assert answer.status == 200, answer
    assert answer.body == blob.payload


class MovingRegistry:
    """A registry with its database in a file of its own, whose store is exchanged."""

    def __init__(self, folder: Path, old: Store, new: Store) -> None:
        self.old, self.new = old, new
        self.shelf = Shelf()
        self.database = folder / "catalogue.db"
        self.running = RunningRegistry(folder / "registry")
        self.url = f"http://{self.running.host}"
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def kinds(self) -> tuple[str, str]:
        """From which kind of store to which."""
        ((old, _),) = self.old.items()
        ((new, _),) = self.new.items()
        return old, new

    def configure(self, store: Store, previous: Store | None = None) -> None:
        """Use this store from the next start on."""
        storage = dict(store)
        if previous is not None:
            storage["previous"] = previous
        self.running.config = {
            "storage": storage,
            "database": {"sqlite": {"path": str(self.database)}},
            "log": {"accesslog": {"disabled": True}},
        }

    @property
    def commands(self) -> Commands:
        """The commands with the configuration of the moment."""
        return Commands.of(self.running)

    def fill(self, count: int) -> None:
        """Push so many images to the old store, with a long layer among them."""
        self.configure(self.old)
        with self.running, Wire(self.url) as wire:
            for number in range(count):
                size = LAYER_SIZES[number % len(LAYER_SIZES)]
                self.shelf.push(wire, f"old-{number}", random_image(layers=2, layer_size=size))
            self.shelf.push(wire, "long", random_image(layer_size=LONG_LAYER))

    def keys(self) -> dict[str, str]:
        """Where each blob is."""
        with closing(sqlite3.connect(self.database)) as database:
            rows = database.execute("SELECT digest, key FROM extents WHERE ordinal = 0")
            return dict(rows.fetchall())

    def migrate_and_kill(self, after: int) -> int:
        """Kill a move when it has moved so many blobs; return how many it did move."""
        before = self.keys()
        arguments = ["migrate", "storage", *self.kinds, "--rate", "8MiB/s"]
        config = ["--config", str(self.commands.config)]
        process = subprocess.Popen([*PROGRAM, *arguments, *config], stderr=subprocess.PIPE)
        while self._moved(before) < after:
            assert process.poll() is None, "it was faster than its rate"
            time.sleep(0.005)
        process.kill()
        process.communicate(timeout=30)
        return self._moved(before)

    def _moved(self, before: Mapping[str, str]) -> int:
        now = self.keys()
        return sum(1 for digest, key in before.items() if now[digest] != key)


class Crowd:
    """Clients that push and pull until they are told to stop; none of them retries anything."""

    def __init__(self, registry: MovingRegistry) -> None:
        self._registry = registry
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self.pushed = 0
        self.pulled = 0
        works = (self._push, self._pull, self._pull)
        self._threads = [
            threading.Thread(target=self._run, args=(number, work))
            for number, work in enumerate(works)
        ]

    def _run(self, number: int, work: object) -> None:
        try:
            with Wire(self._registry.url) as wire:
                while not self._stop.is_set():
                    work(wire, number)  # type: ignore[operator] # one of two methods
        except BaseException as error:  # noqa: BLE001 (raised again at the end)
            self._failures.append(error)

    def _push(self, wire: Wire, number: int) -> None:
        size = int.from_bytes(os.urandom(2))
        image = random_image(layers=2, layer_size=size)
        self._registry.shelf.push(wire, f"new-{number}-{self.pushed}", image)
        self.pushed += 1

    def _pull(self, wire: Wire, number: int) -> None:
        tags = list(self._registry.shelf.images)
        self._registry.shelf.pull(wire, tags[(self.pulled * 7 + number) % len(tags)])
        self.pulled += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        for failure in self._failures:
            raise failure
