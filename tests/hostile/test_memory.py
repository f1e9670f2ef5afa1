# SPDX-License-Identifier: Apache-2.0
"""Memory stays bounded: large bodies stream through, refused ones are not kept."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

from tests.conformance.verbs import OCTETS
from tests.hostile.victim import MIB
from tests.support.images import OCI_INDEX, digest_of
from tests.support.raw import Closed, request_bytes

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository
    from tests.hostile.victim import Victim

PIECE = b"\x00" * MIB


def test_large_upload(victim: Victim, repository: Repository) -> None:
    """A body far larger than the allowed growth passes through without being kept."""
    before = victim.memory()
    location = repository.open()

    answer = repository.patch(location, itertools.repeat(PIECE, 200))

    assert answer.status == 202, answer
    assert answer.headers["Range"] == f"0-{200 * MIB - 1}"
    assert victim.memory() - before < 50 * MIB
    assert repository.wire.delete(location).status == 204


def test_endless_manifest(victim: Victim, repository: Repository) -> None:
    """A manifest that never ends is refused when it is too long, not when it ends."""
    before = victim.memory()
    head = request_bytes(
        "PUT",
        repository.manifest_path("v1"),
        ("Content-Type", OCI_INDEX),
        ("Transfer-Encoding", "chunked"),
    )
    with victim.connect() as connection:
        connection.send(head)
        connection.drip(itertools.repeat(b"100000\r\n" + b" " * MIB + b"\r\n", 64), 0)
        with contextlib.suppress(Closed):
            assert connection.answer(method="PUT").status == 413

    assert victim.memory() - before < 50 * MIB
    assert repository.get_manifest("v1").status == 404


def test_announced_giant(victim: Victim, repository: Repository) -> None:
    """A length of an exabyte is believed only as far as bytes arrive."""
    before = victim.memory()
    giant = ("Content-Length", str(2**60))
    for method, target in (
        ("PATCH", repository.open()),
        ("POST", f"{repository.uploads}?digest={digest_of(b'x')}"),
        ("PUT", repository.manifest_path("v1")),
    ):
        with victim.connect() as connection:
            connection.send(request_bytes(method, target, OCTETS, giant, body=b"bytes"))
            connection.finish_sending()
            rest = connection.until_closed()
            assert rest == b"" or 400 <= int(rest[9:12]) < 500, rest

    assert victim.memory() - before < 50 * MIB


def test_many_connections(victim: Victim) -> None:
    """A thousand connections one after the other leave nothing behind."""
    descriptors = [process / "fd" for process in victim.processes()]
    before, open_before = victim.memory(), sum(len(list(path.iterdir())) for path in descriptors)

    for _ in range(1000):
        with victim.connect() as connection:
            connection.send(request_bytes("GET", "/v2/", ("Connection", "close")))
            assert connection.answer().status == 200

    assert victim.memory() - before < 20 * MIB
    assert sum(len(list(path.iterdir())) for path in descriptors) <= open_before + 5
