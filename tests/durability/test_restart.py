# SPDX-License-Identifier: Apache-2.0
"""An orderly end and a new start: what was under way survives, what nobody wants any more goes.

SIGTERM lets requests finish within the drain time and keeps what uploads have received. Idle
uploads are purged, and only those. A read-only registry serves and refuses.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from tests.durability.pushing import offset_of
from tests.support.images import (
    blob_path,
    manifest_path,
    open_upload,
    push_blob,
    push_image,
    random_blob,
    random_image,
    with_digest,
)
from tests.support.raw import RawConnection, request_bytes
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.images import Content

REPOSITORY = "restart/a"
SECONDS = 30.0


def url(registry: RunningRegistry) -> str:
    """Where a registry listens."""
    return f"http://{registry.host}"


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that comes soon; never coming fails the test."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def terminate(registry: RunningRegistry) -> None:
    """SIGTERM, without waiting for the end."""
    assert registry.process is not None
    registry.process.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in registry.log, "the registry heeds SIGTERM")


def ended(registry: RunningRegistry) -> int:
    """The exit code, once there is one."""
    assert registry.process is not None
    return registry.process.wait(SECONDS)


def upload_file_sizes(registry: RunningRegistry) -> list[int]:
    """How many bytes each unfinished upload has on disk."""
    sizes = []
    # The folder is made while the registry starts, and what was listed may be purged by now.
    with suppress(FileNotFoundError):
        for path in (registry.root / "uploads").iterdir():
            sizes.append(path.stat().st_size)  # noqa: PERF401 (keeps what came before the error)
    return sizes


def begin_patch(registry: RunningRegistry, location: str, announced: int) -> RawConnection:
    """The head of a PATCH whose body the test sends itself."""
    connection = RawConnection(registry.port)
    connection.send(request_bytes("PATCH", location, ("Content-Length", str(announced))))
    return connection


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_an_upload_finish(tmp_path: Path, workers: int) -> None:
    """A PATCH that is under way is taken whole, and the next process continues the session."""
    blob = random_blob(600_000)
    registry = RunningRegistry(tmp_path, {"http": {"workers": workers}})
    with registry:
        with Wire(url(registry)) as wire:
            location = open_upload(wire, REPOSITORY)
        with begin_patch(registry, location, 400_000) as patch:
            patch.send(blob.payload[:200_000])
            until(lambda: upload_file_sizes(registry) == [200_000], "the first half arrives")
            terminate(registry)
            patch.send(blob.payload[200_000:400_000])
            answer = patch.answer()
        assert answer.status == 202
        assert offset_of(answer) == 400_000
        assert ended(registry) == 0
    with registry, Wire(url(registry)) as wire:
        finish_from(wire, location, blob, 400_000)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_upload_that_outlasts_the_drain_time_keeps_its_bytes(
    tmp_path: Path, workers: int
) -> None:
    """What a cut PATCH had received is there after the restart, and the upload is continued."""
    blob = random_blob(600_000)
    registry = RunningRegistry(tmp_path, {"http": {"draintimeout": "1s", "workers": workers}})
    with registry:
        with Wire(url(registry)) as wire:
            location = open_upload(wire, REPOSITORY)
        with begin_patch(registry, location, 400_000) as patch:
            patch.send(blob.payload[:200_000])
            until(lambda: upload_file_sizes(registry) == [200_000], "the first half arrives")
            terminate(registry)
            assert ended(registry) == 0
    assert "Traceback" not in registry.log
    with registry, Wire(url(registry)) as wire:
        finish_from(wire, location, blob, 200_000)


def finish_from(wire: Wire, location: str, blob: Content, offset: int) -> None:
    """The session is at `offset`; the rest makes it the blob."""
    status = wire.get(location)
    assert status.status == 204, status
    assert offset_of(status) == offset
    answer = wire.put(with_digest(location, blob.digest), body=blob.payload[offset:])
    assert answer.status == 201, answer
    assert wire.get(blob_path(REPOSITORY, blob.digest)).body == blob.payload


def test_sigterm_lets_a_download_finish(tmp_path: Path) -> None:
    """A client in the middle of a large blob gets all of it; a new one is turned away."""
    blob = random_blob(16_000_000)
    with RunningRegistry(tmp_path) as registry:
        with Wire(url(registry)) as wire:
            push_blob(wire, REPOSITORY, blob)
        with RawConnection(registry.port) as download:
            download.send(request_bytes("GET", blob_path(REPOSITORY, blob.digest)))
            beginning = download.socket.recv(1000)
            terminate(registry)
            rest = download.until_closed()
        assert (beginning + rest).partition(b"\r\n\r\n")[2] == blob.payload
        assert ended(registry) == 0


def test_an_orderly_end_leaves_one_database_file(tmp_path: Path) -> None:
    """After SIGTERM the write-ahead log is in the database: one file is the whole catalogue."""
    with RunningRegistry(tmp_path) as registry:
        with Wire(url(registry)) as wire:
            push_image(wire, REPOSITORY, random_image(), "latest")
        assert registry.stop() == 0

        files = sorted(path.name for path in registry.root.glob("moorage.db*"))
    assert files == ["moorage.db"]


def test_a_killed_registry_does_not_grow_its_log_for_ever(tmp_path: Path) -> None:
    """What one killed process leaves in the write-ahead log, the next moves into the database."""
    registry = RunningRegistry(tmp_path)
    sizes = []
    for _ in range(4):
        registry.start()
        with Wire(url(registry)) as wire:
            for _ in range(40):
                push_blob(wire, REPOSITORY, random_blob(10))
        sizes.append((registry.root / "moorage.db-wal").stat().st_size)
        registry.kill()

    assert sizes[-1] < 2 * sizes[0], sizes


PURGING = {
    "storage": {"maintenance": {"uploadpurging": {"enabled": True, "age": "2s", "interval": "1s"}}}
}


def test_only_idle_uploads_are_purged(tmp_path: Path) -> None:
    """A session that nobody touches goes, file and row; one that still receives bytes stays."""
    blob = random_blob(40)
    with RunningRegistry(tmp_path, PURGING) as registry, Wire(url(registry)) as wire:
        idle, busy = open_upload(wire, REPOSITORY), open_upload(wire, REPOSITORY)
        assert wire.patch(idle, body=b"never finished").status == 202
        orphan = registry.root / "uploads" / "left-by-a-killed-process"
        orphan.write_bytes(b"bytes without a row")
        sent = 0
        while wire.get(idle).status != 404 or orphan.exists():
            assert sent < 38, "the idle upload is never purged"
            assert wire.patch(busy, body=blob.payload[sent : sent + 1]).status == 202
            sent += 1
            time.sleep(0.25)

        with closing(sqlite3.connect(registry.root / "moorage.db")) as database:
            rows = database.execute("SELECT received FROM uploads").fetchall()
        assert rows == [(sent,)]
        assert upload_file_sizes(registry) == [sent]
        answer = wire.put(with_digest(busy, blob.digest), body=blob.payload[sent:])
        assert answer.status == 201, answer
        assert "purged idle uploads" in registry.log


def test_an_upload_that_is_being_received_is_never_idle(tmp_path: Path) -> None:
    """One request that takes longer than the age of purging is not cut off from its bytes."""
    blob = random_blob(1000)
    with RunningRegistry(tmp_path, PURGING) as registry:
        slow = RawConnection(registry.port)
        target = with_digest(f"/v2/{REPOSITORY}/blobs/uploads/", blob.digest)
        slow.send(request_bytes("POST", target, ("Content-Length", "1000")) + blob.payload[:500])
        until(lambda: upload_file_sizes(registry) == [500], "the first half arrives")
        with Wire(url(registry)) as wire:
            idle = open_upload(wire, REPOSITORY)
            assert wire.patch(idle, body=b"x").status == 202
            until(lambda: upload_file_sizes(registry) == [500], "the idle upload is purged")
            time.sleep(2.5)
            slow.send(blob.payload[500:])
            assert slow.answer().status == 201
            assert wire.get(blob_path(REPOSITORY, blob.digest)).body == blob.payload
        slow.socket.close()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[tuple[RunningRegistry, str]]:
    """A registry with an image and an open upload, started again as a read-only one."""
    with RunningRegistry(tmp_path) as registry, Wire(url(registry)) as wire:
        push_image(wire, REPOSITORY, random_image(), "latest")
        location = open_upload(wire, REPOSITORY)
    maintenance = {"storage": {"maintenance": {"readonly": {"enabled": True}}}}
    with RunningRegistry(tmp_path, maintenance) as registry:
        yield registry, location


def test_a_read_only_registry_serves(read_only: tuple[RunningRegistry, str]) -> None:
    """Everything that reads works as before."""
    registry, location = read_only
    with Wire(url(registry)) as wire:
        manifest = wire.get(manifest_path(REPOSITORY, "latest"))
        assert manifest.status == 200
        document = manifest.json()
        assert isinstance(document, dict)
        for target in (
            blob_path(REPOSITORY, document["config"]["digest"]),
            f"/v2/{REPOSITORY}/tags/list",
            f"/v2/{REPOSITORY}/referrers/{document['config']['digest']}",
            "/v2/_catalog",
            "/v2/",
        ):
            assert wire.get(target).status == 200, target
        assert wire.get(location).status == 204


def test_a_read_only_registry_refuses_every_write(read_only: tuple[RunningRegistry, str]) -> None:
    """Whatever would change something is a 405 with the reason, and changes nothing."""
    registry, location = read_only
    uploads = f"/v2/{REPOSITORY}/blobs/uploads/"
    digest = random_blob().digest
    with Wire(url(registry)) as wire:
        before = wire.get(manifest_path(REPOSITORY, "latest"))
        for method, target, body in (
            ("POST", uploads, b""),
            ("POST", with_digest(uploads, digest), b"abc"),
            ("POST", f"{uploads}?mount={digest}&from={REPOSITORY}", b""),
            ("PATCH", location, b"abc"),
            ("PUT", with_digest(location, digest), b"abc"),
            ("DELETE", location, None),
            ("PUT", manifest_path(REPOSITORY, "latest"), before.body),
            ("DELETE", manifest_path(REPOSITORY, "latest"), None),
            ("DELETE", blob_path(REPOSITORY, digest), None),
        ):
            answer = wire.request(method, target, body=body)
            assert answer.status == 405, (method, target, answer)
            assert answer.error_codes() == ["UNSUPPORTED"]
            assert b"read-only" in answer.body
        assert wire.get(manifest_path(REPOSITORY, "latest")).body == before.body
        assert wire.get(location).status == 204


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Who cannot wait for the drain sends the signal again."""
    registry = RunningRegistry(tmp_path)
    with registry:
        with Wire(url(registry)) as wire:
            location = open_upload(wire, REPOSITORY)
        with begin_patch(registry, location, 100) as patch:
            patch.send(b"half")
            until(lambda: upload_file_sizes(registry) == [4], "the beginning arrives")
            terminate(registry)
            waiting = threading.Event()
            assert not waiting.wait(0.2)
            assert registry.process is not None
            assert registry.process.poll() is None, "a request is under way"
            registry.process.send_signal(signal.SIGTERM)
            assert ended(registry) == 0
    with registry, Wire(url(registry)) as wire:
        assert offset_of(wire.get(location)) == 4
