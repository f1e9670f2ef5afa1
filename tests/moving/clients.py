# SPDX-License-Identifier: Apache-2.0
"""Clients that push and pull without a pause while something under the registry is exchanged.

They try nothing twice: what is not answered as it should be, or is old, is a failure.
"""

from __future__ import annotations

import threading
import time
from random import Random
from typing import TYPE_CHECKING

from tests.support.images import (
    OCTET_STREAM,
    blob_path,
    manifest_path,
    open_upload,
    push_blob,
    push_manifest,
    random_blob,
    random_image,
    with_digest,
)
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

TAGS = ("latest", "stable", "edge")
FAILURES_KEPT = 20


class Client:
    """One client with a repository of its own, and what the registry has promised it."""

    def __init__(self, url: str, number: int) -> None:
        self.repository = f"moving/client-{number}"
        self.tags: dict[str, str] = {}
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.failures: list[str] = []
        self.slowest = 0.0
        self.requests = 0
        self._url = url
        self._random = Random(number)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"client {number}")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._end.set()
        self._thread.join(90)

    def _run(self) -> None:
        """Push over one connection and read over another, which may lead to another process."""
        deeds = (self._push, self._push, self._slow_upload, self._move_tag, self._pull, self._pull)
        with Wire(self._url) as writer, Wire(self._url) as reader:
            while not self._end.is_set() and len(self.failures) < FAILURES_KEPT:
                begun = time.monotonic()
                try:
                    self._random.choice(deeds)(writer, reader)
                except (AssertionError, OSError) as failure:
                    self.failures.append(f"{type(failure).__name__}: {failure}")
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.requests += 1

    def _push(self, writer: Wire, reader: Wire) -> None:
        image = random_image()
        for blob in image.blobs:
            push_blob(writer, self.repository, blob)
            self.blobs[blob.digest] = blob.payload
            assert reader.head(blob_path(self.repository, blob.digest)).status == 200
        tag = f"v{len(self.manifests)}"
        push_manifest(writer, self.repository, image.manifest, tag)
        self.manifests[image.manifest.digest] = image.manifest.payload
        self.tags[tag] = image.manifest.digest
        self._expect(reader, tag, image.manifest.digest)

    def _slow_upload(self, writer: Wire, reader: Wire) -> None:
        """A blob in three requests, each of which may find the catalogue somewhere else."""
        blob = random_blob(3000)
        location = open_upload(writer, self.repository)
        time.sleep(self._random.uniform(0, 0.2))
        answer = reader.patch(
            location,
            ("Content-Type", OCTET_STREAM),
            ("Content-Range", "0-1999"),
            ("Content-Length", "2000"),
            body=blob.payload[:2000],
        )
        assert answer.status == 202, answer
        time.sleep(self._random.uniform(0, 0.2))
        answer = writer.put(
            with_digest(answer.location, blob.digest),
            ("Content-Type", OCTET_STREAM),
            body=blob.payload[2000:],
        )
        assert answer.status == 201, answer
        self.blobs[blob.digest] = blob.payload

    def _move_tag(self, writer: Wire, reader: Wire) -> None:
        if not self.manifests:
            return
        digest = self._random.choice(list(self.manifests))
        tag = self._random.choice(TAGS)
        answer = writer.put(
            manifest_path(self.repository, tag),
            ("Content-Type", "application/vnd.oci.image.manifest.v1+json"),
            body=self.manifests[digest],
        )
        assert answer.status == 201, answer
        self.tags[tag] = digest
        self._expect(reader, tag, digest)

    def _pull(self, writer: Wire, reader: Wire) -> None:
        wire = self._random.choice((writer, reader))
        if self.tags:
            tag = self._random.choice(list(self.tags))
            self._expect(wire, tag, self.tags[tag])
        if self.blobs:
            digest = self._random.choice(list(self.blobs))
            answer = wire.get(blob_path(self.repository, digest))
            assert (answer.status, answer.body) == (200, self.blobs[digest]), answer

    def _expect(self, wire: Wire, tag: str, digest: str) -> None:
        answer = wire.get(manifest_path(self.repository, tag))
        assert answer.status == 200, answer
        assert answer.headers["Docker-Content-Digest"] == digest, f"{tag} is old"

    def check_all(self, wire: Wire) -> None:
        """Everything that the registry has promised is there."""
        for tag, digest in self.tags.items():
            self._expect(wire, tag, digest)
        for digest, payload in self.manifests.items():
            assert wire.get(manifest_path(self.repository, digest)).body == payload
        for digest, payload in self.blobs.items():
            assert wire.get(blob_path(self.repository, digest)).body == payload


def failures_of(clients: Sequence[Client]) -> list[str]:
    """What went wrong, for all clients."""
    return [failure for client in clients for failure in client.failures]
