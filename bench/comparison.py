# SPDX-License-Identifier: Apache-2.0
"""The comparison itself: who runs, what they are filled with, and in which order they are measured.

Within a row the contestants take turns in every round (A B A B), so that whatever else the machine
does falls on all of them; the raw samples of every round are kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.content import ACCEPT, MANIFEST_TYPE, Image, Payload, digest_of, make_image
from bench.contestants import Certificate, Contestant, Distribution, Moorage, Nginx, Setup
from bench.listings import read_list
from bench.load import Sample, run_heads, run_wrk
from bench.push import (
    link_repositories,
    link_tags,
    push_image,
    push_repositories,
    push_tags,
)
from bench.rows import DISK, DISTRIBUTION, MOORAGE, NGINX, WORKERS
from bench.small_images import count_syncs, push_small_images
from bench.transfers import (
    REPOSITORY,
    check_blob,
    disk_flush,
    download,
    push_monolithic,
    push_streamed,
    reclaim,
)
from bench.wire import with_query

if TYPE_CHECKING:
    from pathlib import Path

IMAGE_REPOSITORY, TAGS_REPOSITORY = "bench/app", "bench/tags"
SMALL_BLOB_BYTES = 10_000
BIG_BLOB_BYTES = 256 << 20
GIGABYTE_REPEATS = 4
CATALOG_PAGE = 1_000
BIG_TAIL = b"the blob that is read".ljust(64)

StageResults = dict[str, dict[str, list[Sample]]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often everything is measured."""

    rounds: int = 5
    transfer_rounds: int = 3
    seconds: float = 2
    repositories: int = 5_000
    tags: int = 20_000


FULL = Effort()
FULL_TLS = replace(FULL, rounds=3)
QUICK = Effort(rounds=1, transfer_rounds=1, seconds=1)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run needs: a folder on a real disk, the payload, and which rows are wanted."""

    folder: Path
    payload: Payload
    wanted: Callable[[str], bool]
    tls: Certificate

    @property
    def image(self) -> Image:
        """The image that is read: three layers, the first the small blob."""
        return make_image("read", (SMALL_BLOB_BYTES, 20_000, 20_000))

    @property
    def small_digest(self) -> str:
        """The small blob."""
        return digest_of(self.image.layers[0])

    @property
    def big_digest(self) -> str:
        """The big blob."""
        return self.payload.digest(BIG_TAIL)


def say(message: str) -> None:
    """Progress, apart from the tables."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def contestants_for(folder: Path, kinds: Sequence[str], setup: Setup) -> dict[str, Contestant]:
    """The contestants of a stage, by key."""
    makers: Mapping[str, Callable[[Path], Contestant]] = {
        MOORAGE: lambda place: Moorage(place, setup),
        WORKERS: lambda place: Moorage(place, replace(setup, workers=2)),
        DISTRIBUTION: lambda place: Distribution(place, setup),
        NGINX: lambda place: Nginx(place, setup),
    }
    return {kind: makers[kind](folder / kind) for kind in kinds}


@contextlib.contextmanager
def running(contestants: Mapping[str, Contestant]) -> Iterator[None]:
    """All contestants started, and stopped at the end whatever happens."""
    with contextlib.ExitStack() as stack:
        for contestant in contestants.values():
            contestant.start()
            stack.callback(contestant.stop)
        try:
            yield
        except OSError:
            # A refused or broken connection is explained by the server that is gone.
            for contestant in contestants.values():
                contestant.check_alive()
            raise


def fill(bench: Bench, contestants: Mapping[str, Contestant], effort: Effort) -> None:
    """Give every contestant the content that its rows read."""
    names = [f"catalogue/r{number:05d}" for number in range(effort.repositories)]
    tags = [f"v{number:05d}" for number in range(effort.tags)]
    tiny = make_image("catalogue", (100,))
    for kind, contestant in contestants.items():
        say(f"filling {kind}")
        if kind == NGINX:
            _fill_files(bench, contestant)
            continue
        with contestant.connect() as connection:
            push_image(connection, IMAGE_REPOSITORY, "latest", bench.image)
            _push_big(bench, contestant)
            if kind == WORKERS:
                continue
            push_image(connection, TAGS_REPOSITORY, tags[0], tiny)
        manifest = tiny.manifest()
        if kind == DISTRIBUTION:
            link_tags(contestant.root, TAGS_REPOSITORY, digest_of(manifest), tags)
            link_repositories(contestant.root, names)
        else:
            with contestant.connect() as connection:
                push_tags(connection, TAGS_REPOSITORY, manifest, MANIFEST_TYPE, tags)
            push_repositories(contestant, names, tiny)


def _push_big(bench: Bench, contestant: Contestant) -> None:
    payload = bench.payload
    with contestant.connect() as connection:
        opened = connection.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/").expect(202)
        target = with_query(opened.location, f"digest={bench.big_digest}")
        connection.send_head("PUT", target, {"Content-Length": str(payload.size)})
        connection.send_file(payload.plain, payload.base_size)
        connection.socket.sendall(BIG_TAIL)
        connection.read_reply("PUT").expect(201)


def _fill_files(bench: Bench, nginx: Contestant) -> None:
    (nginx.root / bench.small_digest.partition(":")[2]).write_bytes(bench.image.layers[0])
    with (nginx.root / bench.big_digest.partition(":")[2]).open("wb", buffering=0) as file:
        offset = 0
        while offset < bench.payload.base_size:
            left = bench.payload.base_size - offset
            offset += os.sendfile(file.fileno(), bench.payload.plain, offset, left)
        file.write(BIG_TAIL)


Measure = Callable[[Contestant], Sample]


def measures(bench: Bench, effort: Effort) -> dict[str, tuple[int, Sequence[str], Measure]]:
    """For each row: how many rounds, which contestants, and how one sample is taken."""
    payload, seconds = bench.payload, effort.seconds
    manifests = f"/v2/{IMAGE_REPOSITORY}/manifests/"
    accept = {"Accept": ACCEPT}
    registries, all_registries = (MOORAGE, DISTRIBUTION), (MOORAGE, DISTRIBUTION, WORKERS)
    everybody = (*all_registries, NGINX)

    def small(target: str) -> Measure:
        return lambda it: run_wrk(it, target, seconds, headers=accept)

    def small_blob(it: Contestant) -> Sample:
        return run_wrk(it, it.blob_target(IMAGE_REPOSITORY, bench.small_digest), seconds)

    def big_blob(connections: int, times: int) -> Measure:
        return lambda it: download(
            it, bench.big_digest, payload.size, connections=connections, times=times
        )

    def pushed(push: Callable[..., Sample], repeats: int) -> Measure:
        def measure(it: Contestant) -> Sample:
            sample = push(it, payload, repeats=repeats)
            reclaim(it, keep=bench.big_digest.partition(":")[2])
            return sample

        return measure

    head = f"/v2/{IMAGE_REPOSITORY}/blobs/{bench.small_digest}"
    digest = digest_of(bench.image.manifest())
    rounds, transfers = effort.rounds, effort.transfer_rounds
    catalog, tags = f"/v2/_catalog?n={CATALOG_PAGE}", f"/v2/{TAGS_REPOSITORY}/tags/list"
    return {
        "manifest-tag": (rounds, all_registries, small(manifests + "latest")),
        "manifest-digest": (rounds, all_registries, small(manifests + digest)),
        "blob-head": (rounds, all_registries, lambda it: run_heads(it, head, seconds)),
        "blob-small": (rounds, everybody, small_blob),
        "blob-big-1": (rounds, everybody, big_blob(1, 4)),
        "blob-big-4": (rounds, everybody, big_blob(4, 2)),
        "push-streamed": (transfers, all_registries, pushed(push_streamed, 1)),
        "push-monolithic": (transfers, all_registries, pushed(push_monolithic, 1)),
        "small-images": (
            transfers, all_registries, lambda it: push_small_images(it, 1.5 * seconds)
        ),
        "catalog": (
            rounds, registries, lambda it: read_list(it, catalog, CATALOG_PAGE, seconds / 2)
        ),
        "tags": (rounds, registries, lambda it: read_list(it, tags, effort.tags, seconds / 2)),
        "last-byte": (transfers, registries, pushed(push_streamed, GIGABYTE_REPEATS)),
    }  # fmt: skip


def measure_stage(
    bench: Bench, contestants: Mapping[str, Contestant], effort: Effort
) -> StageResults:
    """Measure every wanted row over the running contestants."""
    results: StageResults = {}
    for contestant in contestants.values():
        check_blob(contestant, bench.big_digest, bench.payload.size)
    for row, (rounds, kinds, measure) in measures(bench, effort).items():
        if not bench.wanted(row):
            continue
        taken: dict[str, list[Sample]] = {}
        present = [kind for kind in kinds if kind in contestants]
        for _ in range(rounds):
            for kind in present:
                taken.setdefault(kind, []).append(measure(contestants[kind]))
            if row == "last-byte":
                flushed = disk_flush(bench.folder, bench.payload, GIGABYTE_REPEATS)
                taken.setdefault(DISK, []).append(flushed)
        say(f"{row}: {_brief(taken)}")
        results[row] = taken
    return results


def _brief(taken: Mapping[str, Sequence[Sample]]) -> str:
    """The first number of each contestant's samples, for who watches."""
    parts = []
    for kind, samples in taken.items():
        metric = next(iter(samples[0]))
        parts.append(f"{kind} {' '.join(f'{sample[metric]:.4g}' for sample in samples)}")
    return "; ".join(parts)


def compare(
    bench: Bench, kinds: Sequence[str], effort: Effort, over_tls: Effort | None
) -> dict[str, StageResults]:
    """The whole comparison: plain, over TLS, and the variants of a manifest GET."""
    stages: dict[str, StageResults] = {}
    contestants = contestants_for(bench.folder, kinds, Setup())
    with running(contestants):
        fill(bench, contestants, effort)
        stages["plain"] = measure_stage(bench, contestants, effort)
    if over_tls is not None:
        for contestant in contestants.values():
            contestant.setup = replace(contestant.setup, tls=bench.tls)
        say("once more over TLS")
        with running(contestants):
            stages["tls"] = measure_stage(bench, contestants, over_tls)
    registries = [kind for kind in kinds if kind in (MOORAGE, DISTRIBUTION)]
    if bench.wanted("syncs"):
        stages["plain"]["syncs"] = _syncs(bench, registries, effort)
    stages["extra"] = {
        row: _variant(bench, registries, effort, row, setup)
        for row, setup in (
            ("manifest-log", Setup(request_log=True)),
            ("manifest-htpasswd", Setup(htpasswd=True)),
        )
        if bench.wanted(row)
    }
    return stages


def _syncs(bench: Bench, kinds: Sequence[str], effort: Effort) -> dict[str, list[Sample]]:
    contestants = contestants_for(bench.folder / "syncs", kinds, Setup())
    taken = {kind: [count_syncs(it, effort.seconds)] for kind, it in contestants.items()}
    say(f"syncs: {_brief(taken)}")
    return taken


def _variant(
    bench: Bench, kinds: Sequence[str], effort: Effort, row: str, setup: Setup
) -> dict[str, list[Sample]]:
    """A manifest GET by tag with another setup."""
    contestants = contestants_for(bench.folder / row, kinds, setup)
    target = f"/v2/{IMAGE_REPOSITORY}/manifests/latest"
    taken: dict[str, list[Sample]] = {}
    with running(contestants):
        for contestant in contestants.values():
            with contestant.connect() as connection:
                push_image(connection, IMAGE_REPOSITORY, "latest", bench.image)
        for _ in range(effort.transfer_rounds):
            for kind, contestant in contestants.items():
                sample = run_wrk(contestant, target, effort.seconds, headers={"Accept": ACCEPT})
                taken.setdefault(kind, []).append(sample)
    say(f"{row}: {_brief(taken)}")
    return taken
