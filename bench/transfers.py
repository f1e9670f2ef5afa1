# SPDX-License-Identifier: Apache-2.0
"""Big blobs down and up: megabytes a second, and the server's CPU seconds for 10^9 bytes.

Without TLS the client neither copies nor makes a byte: downloads are thrown away inside the kernel,
uploads leave by sendfile from a warm file. Each upload is new to the server, and dirty pages are
written out before its clock starts, so nobody pays for the one before.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from bench.content import TAIL_BYTES, Payload
from bench.load import Sample, run_counted
from bench.push import BLOB_HEADERS
from bench.wire import Connection, UnexpectedReplyError, with_query

if TYPE_CHECKING:
    from pathlib import Path

    from bench.contestants import Contestant

REPOSITORY = "bench/big"
RECLAIM_BYTES = 100_000_000


def check_blob(contestant: Contestant, digest: str, size: int) -> None:
    """Read the blob once with its hash: a fast download of other bytes would be no figure."""
    hasher = hashlib.sha256()
    with contestant.connect() as connection:
        connection.send_head("GET", contestant.blob_target(REPOSITORY, digest), {})
        connection.read_head()
        for piece in connection.pieces(size):
            hasher.update(piece)
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise UnexpectedReplyError(f"{contestant.title} sent other bytes than {digest}")


def download(
    contestant: Contestant, digest: str, size: int, *, connections: int, times: int
) -> Sample:
    """Read one blob several times on each of some connections."""
    read = _read_plain if contestant.setup.tls is None else _read_tls
    before, started = contestant.cpu(), time.perf_counter()
    client = read(contestant, contestant.blob_target(REPOSITORY, digest), size, connections, times)
    elapsed = time.perf_counter() - started
    total = size * connections * times
    return {
        "rate": total / elapsed / 1e6,
        "cpu": (contestant.cpu() - before) / total * 1e9,
        "client": client / elapsed,
    }


def _read_plain(
    contestant: Contestant, target: str, size: int, connections: int, times: int
) -> float:
    failures: list[BaseException] = []

    def read() -> None:
        try:
            with contestant.connect() as connection:
                for _ in range(times):
                    connection.send_head("GET", target, {})
                    status, headers = connection.read_head()
                    if status != 200 or int(headers["content-length"]) != size:
                        raise UnexpectedReplyError(f"{contestant.title}: {status} {headers}")  # noqa: TRY301
                    connection.drain(size)
        except (OSError, UnexpectedReplyError) as error:
            failures.append(error)

    before = time.process_time()
    readers = [threading.Thread(target=read) for _ in range(connections)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    if failures:
        raise failures[0]
    return time.process_time() - before


def _read_tls(
    contestant: Contestant, target: str, size: int, connections: int, times: int
) -> float:
    """Read with curl, one process a connection: decryption at C's speed."""
    url = contestant.url(target)
    command = ["curl", "-s", "-k", "--http1.1", "-w", "%{http_code} %{size_download}\\n"]
    command += ["-o", "/dev/null", url] * times
    used: list[float] = []

    def read() -> None:
        output, client = run_counted(command)
        if output.split() == ["200", str(size)] * times:
            used.append(client)

    readers = [threading.Thread(target=read) for _ in range(connections)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    if len(used) != connections:
        raise UnexpectedReplyError(f"{contestant.title}: curl did not read {size} bytes from {url}")
    return sum(used)


def push_streamed(contestant: Contestant, payload: Payload, *, repeats: int = 1) -> Sample:
    """POST, one PATCH with a chunked body, PUT: what Docker, containerd and skopeo do."""
    return _push(contestant, payload, repeats, _send_streamed)


def push_monolithic(contestant: Contestant, payload: Payload, *, repeats: int = 1) -> Sample:
    """POST, then everything in the PUT with its length: what crane and oras do."""
    return _push(contestant, payload, repeats, _send_monolithic)


def _send_streamed(
    connection: Connection, target: str, payload: Payload, tail: bytes, digest: str, repeats: int
) -> float:
    connection.send_head("PATCH", target, {**BLOB_HEADERS, "Transfer-Encoding": "chunked"})
    for _ in range(repeats):
        connection.send_file(payload.framed, payload.framed_size)
    connection.socket.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(tail), tail))
    sent = time.perf_counter()
    patched = connection.read_reply("PATCH").expect(202)
    connection.request("PUT", with_query(patched.location, f"digest={digest}")).expect(201)
    return sent


def _send_monolithic(
    connection: Connection, target: str, payload: Payload, tail: bytes, digest: str, repeats: int
) -> float:
    length = str(payload.base_size * repeats + len(tail))
    headers = {**BLOB_HEADERS, "Content-Length": length}
    connection.send_head("PUT", with_query(target, f"digest={digest}"), headers)
    for _ in range(repeats):
        connection.send_file(payload.plain, payload.base_size)
    connection.socket.sendall(tail)
    sent = time.perf_counter()
    connection.read_reply("PUT").expect(201)
    return sent


SendBlob: TypeAlias = Callable[[Connection, str, Payload, bytes, str, int], float]


def _push(contestant: Contestant, payload: Payload, repeats: int, send: SendBlob) -> Sample:
    tail = payload.new_tail()
    digest = payload.digest(tail, repeats=repeats)
    total = payload.base_size * repeats + TAIL_BYTES
    os.sync()
    with contestant.connect() as connection:
        used, client, started = contestant.cpu(), time.process_time(), time.perf_counter()
        opened = connection.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/").expect(202)
        sent = send(connection, opened.location, payload, tail, digest, repeats)
        elapsed = time.perf_counter() - started
        sample = {
            "rate": total / elapsed / 1e6,
            "cpu": (contestant.cpu() - used) / total * 1e9,
            "client": (time.process_time() - client) / elapsed,
            "seconds": time.perf_counter() - sent,
        }
        stored = connection.request("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}").expect(200)
        if int(stored.headers["content-length"]) != total:
            raise UnexpectedReplyError(f"{contestant.title} keeps another size: {stored.headers}")
    return sample


def reclaim(contestant: Contestant, keep: str) -> None:
    """Take back the disk of blobs that were pushed to be timed and are never read again."""
    for path in contestant.root.rglob("*"):
        if keep not in str(path) and path.is_file() and path.stat().st_size >= RECLAIM_BYTES:
            path.unlink()


def disk_flush(folder: Path, payload: Payload, repeats: int) -> Sample:
    """How long the disk alone needs to make a freshly written file of the same size durable."""
    path = folder / "flushed"
    os.sync()
    with path.open("wb", buffering=0) as file:
        for _ in range(repeats):
            offset = 0
            while offset < payload.base_size:
                left = payload.base_size - offset
                offset += os.sendfile(file.fileno(), payload.plain, offset, left)
        started = time.perf_counter()
        os.fsync(file.fileno())
        elapsed = time.perf_counter() - started
    path.unlink()
    return {"seconds": elapsed}
