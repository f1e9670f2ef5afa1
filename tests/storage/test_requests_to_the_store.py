# SPDX-License-Identifier: Apache-2.0
"""What a push and a pull cost at the store, counted between the registry and a real S3 server."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from moorage.storage.objects import PART_BYTES
from tests.support.images import (
    OCTET_STREAM,
    blob_path,
    digest_of,
    open_upload,
    push_image,
    random_blob,
    random_image,
    with_digest,
)
from tests.support.object_proxy import ObjectProxy
from tests.support.object_requests import Meaning
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from tests.support.object_servers import ObjectServer

MIB = 1024 * 1024
OCTETS = ("Content-Type", OCTET_STREAM)
PARALLEL_UPLOADS = 50
MOST_MEMORY = 600 * MIB
NOTHING: dict[Meaning, int] = {}


@pytest.fixture(params=["sent", "redirected"])
def delivery(request: pytest.FixtureRequest) -> str:
    """Whether blobs are sent by the registry or clients are redirected."""
    way: str = request.param
    return way


@pytest.fixture
def store(s3_server: ObjectServer) -> Iterator[ObjectProxy]:
    """A counting proxy in front of S3."""
    with ObjectProxy(s3_server) as proxy:
        yield proxy


def running(folder: Path, store: ObjectProxy, *, redirected: bool = False) -> RunningRegistry:
    """A registry with its blobs in the store."""
    storage = store.server.settings(endpoint=store.endpoint)
    storage["redirect"] = {"disable": not redirected}
    # Snapshots come when they come; here every request counts.
    storage["snapshot"] = {"enabled": False}
    database = {"sqlite": {"path": str(folder / "registry.db")}}
    return RunningRegistry(folder / "registry", {"storage": storage, "database": database})


@contextmanager
def serving(folder: Path, store: ObjectProxy, *, redirected: bool = False) -> Iterator[Wire]:
    """A connection to such a registry, which has asked the store all that it asks at its start."""
    with (
        running(folder, store, redirected=redirected) as registry,
        Wire(f"http://{registry.host}") as wire,
    ):
        assert wire.get("/readyz").status == 200
        yield wire


def since(store: ObjectProxy, before: Counter[Meaning]) -> dict[Meaning, int]:
    """The requests that have come since."""
    return dict(store.counts - before)


def push_streamed(wire: Wire, repository: str, payload: bytes) -> str:
    """Push a blob as Docker does: POST, PATCH, empty PUT; return its digest."""
    digest = digest_of(payload)
    location = open_upload(wire, repository)
    answer = wire.patch(location, OCTETS, body=payload)
    assert answer.status == 202, answer
    answer = wire.put(with_digest(answer.location, digest))
    assert answer.status == 201, answer
    return digest


def test_a_blob_of_one_part_costs_one_request(tmp_path: Path, store: ObjectProxy) -> None:
    """However it is pushed, and the largest that fits too."""
    with serving(tmp_path, store) as wire:
        for payload in (b"small", random_blob(PART_BYTES).payload):
            before = store.counts.copy()
            push_streamed(wire, "streamed", payload)
            assert since(store, before) == {Meaning.PUT: 1}
        before = store.counts.copy()
        blob = random_blob(1000)
        target = with_digest("/v2/at-once/blobs/uploads/", blob.digest)
        assert wire.post(target, OCTETS, body=blob.payload).status == 201
        assert since(store, before) == {Meaning.PUT: 1}


def test_a_larger_blob_costs_its_parts_and_three(tmp_path: Path, store: ObjectProxy) -> None:
    """Begin, parts, end, and where its digest is written down: nothing is copied or looked up."""
    with serving(tmp_path, store) as wire:
        before = store.counts.copy()
        push_streamed(wire, "large", random_blob(2 * PART_BYTES + 1).payload)
        assert since(store, before) == {
            Meaning.CREATE_MULTIPART: 1,
            Meaning.UPLOAD_PART: 3,
            Meaning.COMPLETE_MULTIPART: 1,
            Meaning.PUT: 1,
        }


def test_what_is_there_already_costs_nothing(tmp_path: Path, store: ObjectProxy) -> None:
    """HEAD and mount are answered by the catalogue."""
    with serving(tmp_path, store) as wire:
        digest = push_streamed(wire, "first", b"shared by two")
        before = store.counts.copy()
        assert wire.head(blob_path("first", digest)).status == 200
        mount = f"/v2/second/blobs/uploads/?mount={digest}&from=first"
        assert wire.post(mount).status == 201
        assert since(store, before) == NOTHING


def test_an_image_costs_one_request_a_blob_and_one_for_the_manifest(
    tmp_path: Path, store: ObjectProxy
) -> None:
    """The manifest's second copy is what a lost database is rebuilt from; pulling it is free."""
    image = random_image(layers=3)
    with serving(tmp_path, store) as wire:
        before = store.counts.copy()
        push_image(wire, "some/image", image, "1")
        assert since(store, before) == {Meaning.PUT: len(image.blobs) + 1}
        before = store.counts.copy()
        assert wire.get("/v2/some/image/manifests/1").status == 200
        assert wire.get("/v2/some/image/tags/list").status == 200
        assert since(store, before) == NOTHING


def test_a_pull_costs_one_request(tmp_path: Path, store: ObjectProxy, delivery: str) -> None:
    """Through us one GET; redirected none at all, and not a byte passes the registry."""
    redirected = delivery == "redirected"
    with serving(tmp_path, store, redirected=redirected) as wire:
        payload = random_blob(3 * MIB).payload
        path = blob_path("a", push_streamed(wire, "a", payload))
        before, down = store.counts.copy(), store.body_bytes_down
        answer = wire.get(path)
        if redirected:
            assert answer.status == 307
            assert since(store, before) == NOTHING
            assert store.body_bytes_down == down
        else:
            assert (answer.status, answer.body) == (200, payload)
            assert since(store, before) == {Meaning.GET: 1}
            before = store.counts.copy()
            assert wire.get(path, ("Range", "bytes=100-199")).body == payload[100:200]
            assert since(store, before) == {Meaning.GET: 1}


def test_memory_of_many_uploads(
    tmp_path: Path, s3_server: ObjectServer, pytestconfig: pytest.Config
) -> None:
    """Fifty clients that push at once do not fill the memory (--upload-megabytes for larger)."""
    megabytes: int = pytestconfig.getoption("--upload-megabytes")
    with ObjectProxy(s3_server) as store, running(tmp_path, store) as registry:
        assert registry.process is not None
        status = Path(f"/proc/{registry.process.pid}/status")
        failures: list[BaseException] = []

        def push(number: int) -> None:
            try:
                payload = (number.to_bytes(8, "big") * (MIB // 8)) * megabytes
                with Wire(f"http://{registry.host}") as wire:
                    push_streamed(wire, f"client/{number}", payload)
            except BaseException as error:  # noqa: BLE001 (raised again below)
                failures.append(error)

        clients = [threading.Thread(target=push, args=(n,)) for n in range(PARALLEL_UPLOADS)]
        for client in clients:
            client.start()
        highest = 0
        while any(client.is_alive() for client in clients):
            highest = max(highest, resident(status))
            clients[-1].join(0.05)
        assert not failures, failures
        assert highest < MOST_MEMORY, f"{highest / MIB:.0f} MiB"
        assert store.counts[Meaning.COPY] == 0


def resident(status: Path) -> int:
    """The resident memory of a process, in bytes."""
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
