# SPDX-License-Identifier: Apache-2.0
"""Whether cost grows with content: a small and a big Moorage, side by side, asked the same things.

The big one has 100,000 tags in one repository, 10,000 manifests in another, and 100,000 more
repositories with a manifest each. Ten tags are asked for on both sides, spread over all there are;
one row asks for every tag equally often, which shows what the search costs when nothing of it was
read a moment ago.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.comparison import say
from bench.content import ACCEPT, INDEX_TYPE, TAIL_BYTES, Payload, digest_of, empty_index
from bench.contestants import Contestant, Moorage, Setup
from bench.load import Sample, run_heads, run_wrk
from bench.processes import memory
from bench.push import (
    BLOB_HEADERS,
    in_parallel,
    push_blob,
    push_indexes,
    push_manifest,
    push_tags,
)
from bench.rows import Quantity, Target
from bench.wire import Connection, with_query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TAGS, MANIFESTS, BLOBS = "growth/tags", "growth/manifests", "growth/blobs"
SMALL, BIG = "small", "big"
PAGE = 100
PARALLEL_UPLOADS = 50
UPLOAD_BYTES = 20 << 20


@dataclass(frozen=True, slots=True)
class Extent:
    """How much one of the two registries holds."""

    tags: int
    page_tags: int
    manifests: int
    repositories: int


@dataclass(frozen=True, slots=True)
class GrowthEffort:
    """How much is filled and how often it is measured."""

    small: Extent = Extent(tags=10, page_tags=1_000, manifests=1, repositories=1_000)
    big: Extent = Extent(tags=100_000, page_tags=100_000, manifests=10_000, repositories=100_000)
    rounds: int = 5
    seconds: float = 2


QUICK_GROWTH = GrowthEffort(
    big=Extent(tags=5_000, page_tags=5_000, manifests=500, repositories=5_000), rounds=1, seconds=1
)


@dataclass(frozen=True, slots=True)
class GrowthRow:
    """One kind of request; the big registry's median CPU is to stay near the small one's."""

    key: str
    title: str
    targets: tuple[Target, ...] = (
        Target("rate", "at least", 1 / 1.2, SMALL),
        Target("cpu", "at most", 1.2, SMALL),
    )


# The same number on both sides: what was read a moment ago comes from memory.
ASKED_TAGS = 10

GROWTH_ROWS = (
    GrowthRow("tag", "manifest GET by one of ten tags, among 10 and among 100,000"),
    GrowthRow("any-tag", "manifest GET by any tag: all of 10, and of 100,000", targets=()),
    GrowthRow("tagged-head", "blob HEAD beside 10 and 100,000 tags"),
    GrowthRow("digest", "manifest GET by digest: 1 and 10,000 manifests"),
    GrowthRow("beside-head", "blob HEAD beside 1 and 10,000 manifests"),
    GrowthRow("tags-first", "first page of 1,000 and 100,000 tags"),
    GrowthRow("tags-middle", "page in the middle of 1,000 and 100,000 tags"),
    GrowthRow("catalog-first", "first page of 1,000 and 100,000 repositories"),
    GrowthRow("catalog-middle", "page in the middle of 1,000 and 100,000 repositories"),
)
RATE, COST = Quantity("rate", "/s"), Quantity("cpu", "ms", 1000, "lower")


@dataclass(frozen=True, slots=True)
class Bound:
    """A number that is to stay under a fixed limit."""

    key: str
    title: str
    quantity: Quantity
    limit: float


_MEGABYTES = Quantity("resident", "MB", 1e-6, "lower")
BOUNDS = (
    Bound("start", "start-up with 110,000 manifests", Quantity("seconds", "s", 1, "lower"), 1.0),
    Bound("idle", "resident memory, idle", _MEGABYTES, 100e6),
    Bound("uploads", "resident memory, 50 parallel uploads of 20 MB", _MEGABYTES, 180e6),
)

GrowthResults = dict[str, dict[str, list[Sample]]]


def grow(folder: Path, effort: GrowthEffort) -> GrowthResults:
    """Fill both registries, measure them in turns, then start-up and memory of the big one."""
    extents = {SMALL: effort.small, BIG: effort.big}
    registries = {name: Moorage(folder / name, Setup()) for name in extents}
    results: GrowthResults = {}
    try:
        for name, registry in registries.items():
            registry.start()
            started = time.perf_counter()
            _fill(registry, extents[name])
            say(f"filled {name} in {time.perf_counter() - started:.0f} s")
        for row in GROWTH_ROWS:
            taken: dict[str, list[Sample]] = {name: [] for name in registries}
            for _ in range(effort.rounds):
                for name, registry in registries.items():
                    taken[name].append(_ask(registry, row.key, extents[name], effort.seconds))
            rates = {name: [round(s["rate"]) for s in samples] for name, samples in taken.items()}
            say(f"{row.key}: {rates}")
            results[row.key] = taken
        big = registries[BIG]
        # Memory first: a process that has answered all of the above holds more than a fresh one.
        results["idle"] = {BIG: [_idle(big)]}
        results["uploads"] = {BIG: [_parallel_uploads(big, folder)]}
        results["start"] = {BIG: [_restart(big) for _ in range(max(3, effort.rounds))]}
        for bound in BOUNDS:
            say(f"{bound.key}: {results[bound.key][BIG]}")
    finally:
        for registry in registries.values():
            registry.stop()
    return results


def tag_name(number: int) -> str:
    """The tags' names; the Lua code writes the same."""
    return f"t{number:06d}"


def repository_name(number: int) -> str:
    """The repositories' names, in byte order."""
    return f"many/r{number:06d}"


def _fill(registry: Contestant, extent: Extent) -> None:
    index = empty_index("tags")
    with registry.connect() as connection:
        for repository, count in ((TAGS, extent.tags), (f"{TAGS}-pages", extent.page_tags)):
            push_manifest(connection, repository, digest_of(index), index, INDEX_TYPE)
            names = [tag_name(number) for number in range(count)]
            push_tags(connection, repository, index, INDEX_TYPE, names)
        for repository in (TAGS, MANIFESTS):
            push_blob(connection, repository, b"read by HEAD")

    def push(connection: Connection, number: int) -> None:
        payload = _manifest(number)
        push_manifest(connection, MANIFESTS, digest_of(payload), payload, INDEX_TYPE)

    in_parallel(registry, range(extent.manifests), push)
    push_indexes(
        registry,
        [(repository_name(n), empty_index(f"many {n}")) for n in range(extent.repositories)],
    )


def _manifest(number: int) -> bytes:
    return empty_index(f"manifest {number}")


def _ask(registry: Contestant, row: str, extent: Extent, seconds: float) -> Sample:
    """One sample of one row."""
    blob = digest_of(b"read by HEAD")
    accept = {"Accept": ACCEPT}
    match row:
        case "tag":
            lua = _random_tag(ASKED_TAGS, extent.tags // ASKED_TAGS)
            return run_wrk(registry, "/", seconds, headers=accept, lua=lua)
        case "any-tag":
            lua = _random_tag(extent.tags, 1)
            return run_wrk(registry, "/", seconds, headers=accept, lua=lua)
        case "digest":
            lua = _random_digest(extent.manifests)
            return run_wrk(registry, "/", seconds, headers=accept, lua=lua)
        case "tagged-head" | "beside-head":
            repository = TAGS if row == "tagged-head" else MANIFESTS
            return run_heads(registry, f"/v2/{repository}/blobs/{blob}", seconds)
        case _:
            return run_wrk(registry, _page(row, extent), seconds)


def _page(row: str, extent: Extent) -> str:
    listed, _, place = row.partition("-")
    if listed == "tags":
        target, last = f"/v2/{TAGS}-pages/tags/list", tag_name(extent.page_tags // 2)
    else:
        target, last = "/v2/_catalog", repository_name(extent.repositories // 2)
    # Both pages carry `last`, so that only the place differs; all names sort after "0".
    return f"{target}?n={PAGE}&last={last if place == 'middle' else '0'}"


def _random_tag(count: int, step: int) -> str:
    """Ask for `count` tags, `step` apart."""
    number = f"{step} * math.random(0, {count - 1})"
    return f"""
request = function()
  return wrk.format(nil, string.format("/v2/{TAGS}/manifests/t%06d", {number}))
end
"""


def _random_digest(count: int) -> str:
    digests = ",".join(f'"{digest_of(_manifest(number))}"' for number in range(count))
    return f"""
local digests = {{{digests}}}
request = function()
  return wrk.format(nil, "/v2/{MANIFESTS}/manifests/" .. digests[math.random(#digests)])
end
"""


def _restart(registry: Contestant) -> Sample:
    """Seconds from starting the program to its first answer."""
    registry.stop()
    started = time.perf_counter()
    registry.start()
    return {"seconds": time.perf_counter() - started}


def _idle(registry: Contestant) -> Sample:
    time.sleep(1)
    used = memory(registry.pid)
    return {"resident": used.resident, "proportional": used.proportional}


def _parallel_uploads(registry: Contestant, folder: Path) -> Sample:
    """The highest resident memory seen while 50 clients push different blobs at once."""
    payload = Payload(folder, UPLOAD_BYTES)
    clients = [
        threading.Thread(target=_upload, args=(registry, payload)) for _ in range(PARALLEL_UPLOADS)
    ]
    try:
        for client in clients:
            client.start()
        highest = memory(registry.pid)
        while any(client.is_alive() for client in clients):
            highest = max(highest, memory(registry.pid), key=lambda seen: seen.resident)
            time.sleep(0.02)
    finally:
        for client in clients:
            client.join()
        payload.close()
    return {"resident": highest.resident, "proportional": highest.proportional}


def _upload(registry: Contestant, payload: Payload) -> None:
    tail = os.urandom(TAIL_BYTES)
    digest = payload.digest(tail)
    with registry.connect() as connection:
        opened = connection.request("POST", f"/v2/{BLOBS}/blobs/uploads/").expect(202)
        head = {**BLOB_HEADERS, "Transfer-Encoding": "chunked"}
        connection.send_head("PATCH", opened.location, head)
        connection.send_file(payload.framed, payload.framed_size)
        connection.socket.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(tail), tail))
        patched = connection.read_reply("PATCH").expect(202)
        connection.request("PUT", with_query(patched.location, f"digest={digest}")).expect(201)


def worst(samples: Sequence[Mapping[str, float]], metric: str) -> float:
    """The median of a bounded number; memory is measured once."""
    return statistics.median(sample[metric] for sample in samples)
