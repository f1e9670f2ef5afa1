# SPDX-License-Identifier: Apache-2.0
"""Eight clients push small images that share nothing; and how many times the disk is asked to sync.

Each client is a process of its own, so that Python's lock is not what is measured. Syncs are
counted by strace in a separate, short run, because tracing makes everything slower.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import TYPE_CHECKING

from bench.content import make_image
from bench.push import push_image

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from bench.contestants import Contestant
    from bench.load import Sample

CLIENTS = 8
LAYERS = (20_000, 20_000, 20_000)
REPOSITORY = "bench/small"
# sync_file_range starts or waits for writing but promises nothing, so it is shown, not counted.
SYNC_CALLS = ("fsync", "fdatasync", "sync", "syncfs", "msync")
TRACED_CALLS = (*SYNC_CALLS, "sync_file_range")


def push_small_images(contestant: Contestant, seconds: float) -> Sample:
    """Push for some seconds; images a second and the server's CPU seconds for one image."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(CLIENTS + 1)
    results: SimpleQueue[tuple[int, float, float]] = context.SimpleQueue()
    clients = [
        context.Process(target=_client, args=(contestant, barrier, results, seconds))
        for _ in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    barrier.wait()
    before, started = contestant.cpu(), time.perf_counter()
    for client in clients:
        client.join()
    if any(client.exitcode for client in clients):
        raise RuntimeError(f"pushing small images to {contestant.title} failed; see above")
    used = contestant.cpu() - before
    reports = [results.get() for _ in clients]
    images = sum(count for count, _, _ in reports)
    elapsed = max(ended for _, ended, _ in reports) - started
    return {
        "rate": images / elapsed,
        "cpu": used / images,
        "client": sum(cpu for _, _, cpu in reports) / elapsed,
        "images": images,
    }


def _client(
    contestant: Contestant,
    barrier: Barrier,
    results: SimpleQueue[tuple[int, float, float]],
    seconds: float,
) -> None:
    images = 0
    with contestant.connect() as connection:
        barrier.wait()
        used, deadline = time.process_time(), time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            image = make_image(os.urandom(16).hex(), LAYERS)
            push_image(connection, REPOSITORY, f"v{os.getpid()}-{images}", image)
            images += 1
    results.put((images, time.perf_counter(), time.process_time() - used))


def count_syncs(contestant: Contestant, seconds: float) -> Sample:
    """Start the contestant under strace, push, and count the calls for one image."""
    trace = contestant.folder / "syncs.trace"
    tracer = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        f"trace={','.join(TRACED_CALLS)}",
    ]
    contestant.start(prefix=tracer)
    try:
        before = _calls(trace)
        images = push_small_images(contestant, seconds)["images"]
        after = _calls(trace)
    finally:
        contestant.stop()
    made = {name: after[name] - before[name] for name in TRACED_CALLS}
    return {
        "syncs": sum(made[name] for name in SYNC_CALLS) / images,
        **{f"{name}_calls": made[name] / images for name in TRACED_CALLS if made[name]},
    }


def _calls(trace: Path) -> dict[str, int]:
    """How often each call was started; a resumed line belongs to a start that was counted."""
    counts = dict.fromkeys(TRACED_CALLS, 0)
    for line in trace.read_text().splitlines():
        name = line.split(None, 1)[-1].partition("(")[0]
        if name in counts:
            counts[name] += 1
    return counts
