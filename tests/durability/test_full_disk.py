# SPDX-License-Identifier: Apache-2.0
"""A full disk: refused with 507 and one clear line in the log, nothing lost, reads go on.

As soon as there is room again, pushes work again, without a restart. Bytes of an upload that came
to nothing are given back, at the latest when the client cancels.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.durability.disks import SmallDisk, small_disk
from tests.durability.pushing import offset_of
from tests.support.images import (
    blob_path,
    digest_of,
    image_manifest,
    manifest_path,
    open_upload,
    push_blob,
    push_image,
    push_manifest,
    random_blob,
    random_image,
    with_digest,
)
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.images import Content, Image
    from tests.support.wire import Answer

REPOSITORY = "full/a"
MEGABYTE = 1 << 20
# A page of the log may still be free where the disk is not; so many commits use it up.
ENOUGH = 400


class Crowded:
    """A registry with its disk, and an image that was pushed while there was room."""

    def __init__(self, registry: RunningRegistry, disk: SmallDisk, wire: Wire) -> None:
        self.registry = registry
        self.disk = disk
        self.wire = wire
        self.image = random_image(layers=2)
        push_image(wire, REPOSITORY, self.image, "latest")

    def until_refused(self, request: Callable[[], Answer]) -> Answer:
        """Repeat a request that writes until it finds no room; every reply before is a success."""
        for _ in range(ENOUGH):
            answer = request()
            if answer.status >= 400:
                self.refused(answer)
                return answer
        raise AssertionError("the disk never fills")

    def refused(self, answer: Answer) -> None:
        """The reply says that there is no room, in the form of the specification."""
        assert answer.status == 507, answer
        assert answer.error_codes() == ["UNAVAILABLE"]

    def serves(self, image: Image) -> None:
        """The image can be pulled, byte for byte."""
        manifest = self.wire.get(manifest_path(REPOSITORY, image.manifest.digest))
        assert manifest.body == image.manifest.payload
        for blob in image.blobs:
            target = blob_path(REPOSITORY, blob.digest)
            assert self.wire.head(target).status == 200
            assert self.wire.get(target).body == blob.payload

    def works(self) -> None:
        """What was there is there, and an image can be pushed."""
        self.serves(self.image)
        image = random_image(layers=2, layer_size=100_000)
        push_image(self.wire, REPOSITORY, image, "after")
        self.serves(image)

    def errors(self) -> list[dict[str, object]]:
        """The log's errors, none of which may be a fault of ours."""
        entries = [json.loads(line) for line in self.registry.log.splitlines()]
        errors = [entry for entry in entries if entry["level"] == "error"]
        assert not [entry for entry in errors if "Traceback" in str(entry)]
        return errors


@contextmanager
def crowded(folder: Path, config: dict[str, object], mounted: Path) -> Iterator[Crowded]:
    """A registry that has a small disk mounted somewhere."""
    with small_disk(mounted, 24) as disk:
        registry = RunningRegistry(folder, config)
        with registry, Wire(f"http://{registry.host}") as wire:
            yield Crowded(registry, disk, wire)


@pytest.fixture
def one_disk(tmp_path: Path) -> Iterator[Crowded]:
    """Blobs and database on the same small disk."""
    with crowded(tmp_path, {}, tmp_path / "data") as found:
        yield found


@pytest.fixture
def blobs_disk(tmp_path: Path) -> Iterator[Crowded]:
    """Blobs on a small disk, the database elsewhere."""
    config: dict[str, object] = {"database": {"sqlite": {"path": str(tmp_path / "moorage.db")}}}
    with crowded(tmp_path, config, tmp_path / "data") as found:
        yield found


@pytest.fixture
def database_disk(tmp_path: Path) -> Iterator[Crowded]:
    """The database on a small disk, blobs elsewhere."""
    path = tmp_path / "small" / "moorage.db"
    config: dict[str, object] = {"database": {"sqlite": {"path": str(path)}}}
    with crowded(tmp_path, config, path.parent) as found:
        yield found


@pytest.fixture(params=["one_disk", "blobs_disk"])
def blobs_full(request: pytest.FixtureRequest) -> Crowded:
    """Where blobs find no room."""
    found: Crowded = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["one_disk", "database_disk"])
def database_full(request: pytest.FixtureRequest) -> Crowded:
    """Where the database finds no room."""
    found: Crowded = request.getfixturevalue(request.param)
    return found


def test_pushing_until_the_disk_is_full(blobs_full: Crowded) -> None:
    """The push that finds no room is refused, every one before it is kept, and reads go on."""
    wire, pushed = blobs_full.wire, []

    def push() -> Answer:
        blob = random_blob(2 * MEGABYTE)
        uploads = f"/v2/{REPOSITORY}/blobs/uploads/"
        answer = wire.post(with_digest(uploads, blob.digest), body=blob.payload)
        if answer.status == 201:
            pushed.append(blob)
        return answer

    room = blobs_full.disk.free
    blobs_full.until_refused(push)

    assert len(pushed) >= room // (2 * MEGABYTE) - 2
    for blob in pushed:
        assert wire.get(blob_path(REPOSITORY, blob.digest)).body == blob.payload
    blobs_full.serves(blobs_full.image)
    (error,) = blobs_full.errors()
    assert "disk" in str(error["msg"])
    assert "full" in str(error["msg"])


def test_after_room_is_made_pushes_work_again(blobs_full: Crowded) -> None:
    """No restart is needed, whichever request met the full disk."""
    wire = blobs_full.wire
    blobs_full.disk.fill()
    blob = random_blob(2 * MEGABYTE)
    uploads = f"/v2/{REPOSITORY}/blobs/uploads/"
    blobs_full.refused(wire.post(with_digest(uploads, blob.digest), body=blob.payload))
    blobs_full.serves(blobs_full.image)

    blobs_full.disk.relieve()

    push_blob(wire, REPOSITORY, blob)
    blobs_full.works()


@pytest.mark.parametrize("chunked", [False, True])
def test_full_in_the_middle_of_a_chunk(blobs_full: Crowded, *, chunked: bool) -> None:
    """The session stays where it was, and is continued to the right digest when there is room."""
    wire = blobs_full.wire
    blob = random_blob(4 * MEGABYTE)
    location = open_upload(wire, REPOSITORY)
    assert wire.patch(location, body=blob.payload[:MEGABYTE]).status == 202
    leave = 2 * MEGABYTE
    blobs_full.disk.fill()
    blobs_full.disk.relieve()
    reserve = blobs_full.disk.folder / "reserve"
    reserve.write_bytes(b"\xff" * (blobs_full.disk.free - leave))

    blobs_full.refused(wire.patch(location, body=blob.payload[MEGABYTE:], chunked=chunked))
    offset = offset_of(wire.get(location))
    assert MEGABYTE <= offset < len(blob.payload)

    reserve.unlink()
    answer = wire.put(with_digest(location, blob.digest), body=blob.payload[offset:])
    assert answer.status == 201, answer
    body = wire.get(blob_path(REPOSITORY, blob.digest)).body
    assert digest_of(body) == blob.digest


def test_cancelling_gives_the_room_back(blobs_full: Crowded) -> None:
    """An upload that has filled the disk can be cancelled, and that alone makes room for others."""
    wire, disk = blobs_full.wire, blobs_full.disk
    location = open_upload(wire, REPOSITORY)
    before = disk.free
    blobs_full.refused(wire.patch(location, body=b"\xff" * (before + MEGABYTE)))
    assert disk.free < MEGABYTE

    answer = wire.delete(location)

    assert answer.status == 204, answer
    assert disk.free > before - MEGABYTE
    assert wire.get(location).status == 404
    blobs_full.works()


def test_a_refused_push_leaves_nothing_behind(blobs_full: Crowded) -> None:
    """A blob sent in one request that finds no room has given all of it back."""
    wire, disk = blobs_full.wire, blobs_full.disk
    before = disk.free
    blob = random_blob(before + MEGABYTE)
    uploads = f"/v2/{REPOSITORY}/blobs/uploads/"

    blobs_full.refused(wire.post(with_digest(uploads, blob.digest), body=blob.payload))

    assert disk.free > before - MEGABYTE
    assert not list((blobs_full.registry.root / "uploads").iterdir())
    blobs_full.works()


def test_full_at_the_manifest(database_full: Crowded) -> None:
    """A manifest that finds no room is not there, its tag has not moved, and both work later."""
    wire = database_full.wire
    image = database_full.image
    database_full.disk.fill()
    tried: list[bytes] = []

    def put() -> Answer:
        note = {"org.example.note": f"{len(tried)}" + "x" * 3000}
        manifest = image_manifest(image.config, image.layers, annotations=note)
        tried.append(manifest.payload)
        content_type = ("Content-Type", manifest.media_type)
        return wire.put(manifest_path(REPOSITORY, "moving"), content_type, body=manifest.payload)

    database_full.until_refused(put)

    tag = wire.get(manifest_path(REPOSITORY, "moving"))
    if len(tried) > 1:
        assert tag.body == tried[-2]
    else:
        assert tag.status == 404
    assert wire.get(manifest_path(REPOSITORY, digest_of(tried[-1]))).status == 404
    database_full.serves(database_full.image)
    assert "full" in str(database_full.errors()[-1]["msg"])

    database_full.disk.relieve()
    push_manifest(wire, REPOSITORY, image.manifest, "moving")
    assert wire.get(manifest_path(REPOSITORY, "moving")).body == image.manifest.payload
    database_full.works()


def test_full_at_the_beginning_of_an_upload(database_full: Crowded) -> None:
    """A session that cannot be written down is refused; the sessions before it go on later."""
    wire = database_full.wire
    blob = random_blob(1000)
    location = open_upload(wire, REPOSITORY)
    assert wire.patch(location, body=blob.payload[:600]).status == 202
    database_full.disk.fill()

    database_full.until_refused(lambda: wire.post(f"/v2/{REPOSITORY}/blobs/uploads/"))
    assert offset_of(wire.get(location)) == 600
    database_full.serves(database_full.image)

    database_full.disk.relieve()
    answer = wire.put(with_digest(location, blob.digest), body=blob.payload[600:])
    assert answer.status == 201, answer
    database_full.works()


def test_full_at_the_end_of_a_blob(database_full: Crowded) -> None:
    """A blob whose entry finds no room is not there, nor are its bytes; later it can be pushed."""
    wire = database_full.wire
    database_full.disk.fill()
    failed: list[Content] = []

    def push() -> Answer:
        blob = random_blob(1000)
        failed[:] = [blob]
        uploads = f"/v2/{REPOSITORY}/blobs/uploads/"
        return wire.post(with_digest(uploads, blob.digest), body=blob.payload)

    database_full.until_refused(push)

    (blob,) = failed
    assert wire.get(blob_path(REPOSITORY, blob.digest)).status == 404
    shard = database_full.registry.root / "blobs" / "sha256" / blob.digest[7:9]
    assert not list(shard.glob(f"{blob.digest[7:]}*"))
    database_full.disk.relieve()
    push_blob(wire, REPOSITORY, blob)
    database_full.works()


def test_a_registry_on_a_full_disk_ends_and_keeps_everything(one_disk: Crowded) -> None:
    """SIGTERM and a new start with some room find all that was acknowledged."""
    one_disk.disk.fill()
    one_disk.wire.close()
    assert one_disk.registry.stop() == 0
    one_disk.disk.relieve()
    one_disk.registry.start()
    one_disk.works()
