# SPDX-License-Identifier: Apache-2.0
"""Snapshots: what only the database knows, written as records beside the blobs now and then.

    snapshots/<microseconds>/<number>   the rows (`table_text`), cut into parts
    snapshots/<microseconds>/head       JSON: time, last event, the parts' checksums; its signature

The head is written last: a snapshot without one is not there. Invariant: nothing of a snapshot is
believed before the signature of its head and the checksums of all its parts were verified.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from moorage.lifecycle.table_text import DamagedText, TextWriter, read_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.db.protocol import Database, View
    from moorage.lifecycle.table_text import Rows
    from moorage.storage.protocol import RecordKeeper

FOLDER = "snapshots"
HEAD = "head"
# Small enough to be held in memory and to be one request to any store.
PART_BYTES = 4 * 1024 * 1024
_PURPOSE = b"moorage: signature of snapshots, 1"

DELETED = "deleted_manifests"
# Everything that neither a blob nor the record of a manifest tells. Extents are in the store's own
# notes too; a blob of one piece needs none.
_WHOLE_TABLES = ("repository_blobs", "tags")
_DELETED_COLUMNS = ("repository_id", "digest", "pushed_at", "deleted_at")
_DELETED_ROWS = """
    SELECT repository_id, digest, pushed_at, deleted_at FROM manifests
    WHERE deleted_at IS NOT NULL
"""
_EXTENT_COLUMNS = ("digest", "ordinal", "key", "size")
_EXTENT_ROWS = """
    SELECT e.digest, e.ordinal, e.key, e.size FROM extents s
    JOIN extents e ON e.digest = s.digest
    WHERE s.ordinal = 1
    ORDER BY e.digest, e.ordinal
"""
_LAST_EVENT = "SELECT coalesce(max(seq), 0) FROM events"
_FIRST_EVENT = "SELECT id FROM events ORDER BY seq LIMIT 1"


class Part(msgspec.Struct, frozen=True):
    """A piece of the text."""

    sha256: str
    size: int


class Head(msgspec.Struct, frozen=True, rename="camel"):
    """What a snapshot says of itself; `taken_at` is in microseconds.

    `origin` is the database's first event: two snapshots with the same one tell one story.
    """

    format: int
    taken_at: int
    origin: str
    last_event: int
    parts: list[Part]
    rows: dict[str, int]


class UnusableSnapshot(Exception):
    """The snapshot is damaged, or not signed with this registry's key."""

    def __init__(self, reason: str, *, signature: bool = False) -> None:
        super().__init__(reason)
        self.signature = signature


@dataclass(frozen=True, slots=True)
class SignatureKey:
    """What snapshots are signed with; None: they carry a checksum, which anybody can make."""

    secret: bytes | None

    def line(self, head: bytes) -> str:
        """The last line of a head."""
        if self.secret is None:
            return f"sha256 {hashlib.sha256(head).hexdigest()}"
        key = hmac.digest(self.secret, _PURPOSE, "sha256")
        return f"hmac-sha256 {hmac.new(key, head, 'sha256').hexdigest()}"

    def check(self, head: bytes, line: str) -> None:
        """Insist that the head was signed with this key.

        Raises:
            UnusableSnapshot: it was not.
        """
        if self.secret is None:
            raise UnusableSnapshot("this registry has no key to verify it with", signature=True)
        if not hmac.compare_digest(self.line(head).encode(), line.encode()):
            raise UnusableSnapshot("its signature is not this registry's", signature=True)


async def write_snapshot(
    database: Database, keeper: RecordKeeper, key: SignatureKey, taken_at: int
) -> Head:
    """Write down the database as it is now."""
    parts = _Parts(keeper, taken_at)
    counts: dict[str, int] = {}
    async with database.view() as view:
        first = await view.fetch_one(_FIRST_EVENT)
        last = await view.fetch_one(_LAST_EVENT)
        text = TextWriter()
        async for table, columns, sql in _questions(view):
            await parts.add(text.table(table, columns))
            counts[table] = 0
            async for rows in view.rows(sql):
                counts[table] += len(rows)
                await parts.add(await asyncio.to_thread(text.rows, rows))
        await parts.add(text.end(), last=True)
    origin = first[0] if first else ""
    head = Head(1, taken_at, origin, last[0] if last else 0, parts.written, counts)
    encoded = msgspec.json.encode(head)
    signed = encoded + b"\n" + key.line(encoded).encode() + b"\n"
    await keeper.put_record(_name(taken_at, HEAD), signed, durable=True)
    return head


async def _questions(view: View) -> AsyncIterator[tuple[str, tuple[str, ...], str]]:
    """The tables of a snapshot: name, columns, statement."""
    yield "repositories", await view.columns("repositories"), "SELECT * FROM repositories"
    yield DELETED, _DELETED_COLUMNS, _DELETED_ROWS
    yield "extents", _EXTENT_COLUMNS, _EXTENT_ROWS
    for table in _WHOLE_TABLES:
        yield table, await view.columns(table), f"SELECT * FROM {table}"  # noqa: S608 (ours)


class _Parts:
    """Cuts the text into records."""

    def __init__(self, keeper: RecordKeeper, taken_at: int) -> None:
        self._keeper = keeper
        self._taken_at = taken_at
        self._waiting = bytearray()
        self.written: list[Part] = []

    async def add(self, piece: bytes, *, last: bool = False) -> None:
        """More of the text."""
        self._waiting += piece
        while len(self._waiting) >= PART_BYTES or (last and self._waiting):
            content = bytes(self._waiting[:PART_BYTES])
            del self._waiting[:PART_BYTES]
            name = _part_name(self._taken_at, len(self.written))
            await self._keeper.put_record(name, content, durable=True)
            self.written.append(Part(hashlib.sha256(content).hexdigest(), len(content)))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot whose parts were all verified."""

    keeper: RecordKeeper
    head: Head

    async def rows(self, *tables: str) -> AsyncIterator[Rows]:
        """The rows of these tables.

        Raises:
            UnusableSnapshot: it was damaged since it was verified.
        """
        try:
            async for rows in read_rows(self._parts()):
                if rows.table in tables:
                    yield rows
        except DamagedText as error:
            raise UnusableSnapshot(str(error)) from error

    async def _parts(self) -> AsyncIterator[bytes]:
        for number in range(len(self.head.parts)):
            yield await self.part(number)

    async def part(self, number: int) -> bytes:
        """One part.

        Raises:
            UnusableSnapshot: it is not what the head says.
        """
        try:
            content = await self.keeper.get_record(_part_name(self.head.taken_at, number))
        except KeyError:
            raise UnusableSnapshot(f"its part {number} is missing") from None
        if hashlib.sha256(content).hexdigest() != self.head.parts[number].sha256:
            raise UnusableSnapshot(f"its part {number} is damaged")
        return content


async def open_snapshot(
    keeper: RecordKeeper, key: SignatureKey, taken_at: int, *, trust: bool = False
) -> Snapshot:
    """A snapshot that can be believed; with `trust`, whoever has signed it.

    Raises:
        UnusableSnapshot: it cannot.
    """
    try:
        signed = await keeper.get_record(_name(taken_at, HEAD))
    except KeyError:
        raise UnusableSnapshot("it is not there any more") from None
    encoded, _, line = signed.partition(b"\n")
    if not trust:
        key.check(encoded, line.decode("ascii", "replace").strip())
    head = _parse(encoded, taken_at)
    snapshot = Snapshot(keeper, head)
    for number in range(len(head.parts)):
        await snapshot.part(number)
    return snapshot


async def read_head(keeper: RecordKeeper, taken_at: int) -> Head:
    """What a snapshot says of itself, unverified: enough to decide whether to take another.

    Raises:
        UnusableSnapshot: it says nothing.
    """
    try:
        signed = await keeper.get_record(_name(taken_at, HEAD))
    except KeyError:
        raise UnusableSnapshot("it is not there any more") from None
    return _parse(signed.partition(b"\n")[0], taken_at)


async def snapshot_times(keeper: RecordKeeper) -> tuple[list[int], list[int]]:
    """When snapshots were taken, newest first: those with a head, and those without."""
    complete: set[int] = set()
    begun: set[int] = set()
    async for name in keeper.records(FOLDER):
        _, time, last = (*name.split("/"), "", "")[:3]
        if time.isdecimal():
            (complete if last == HEAD else begun).add(int(time))
    return sorted(complete, reverse=True), sorted(begun - complete, reverse=True)


async def delete_snapshot(keeper: RecordKeeper, taken_at: int) -> None:
    """Forget a snapshot, its head first: half of one is none."""
    await keeper.delete_record(_name(taken_at, HEAD))
    names = [name async for name in keeper.records(f"{FOLDER}/{taken_at:016d}")]
    for name in names:
        await keeper.delete_record(name)


def _parse(encoded: bytes, taken_at: int) -> Head:
    try:
        head = msgspec.json.decode(encoded, type=Head)
    except msgspec.DecodeError as error:
        raise UnusableSnapshot(f"its head is damaged: {error}") from error
    if head.format != 1:
        raise UnusableSnapshot(f"its format {head.format} is that of a newer Moorage")
    if head.taken_at != taken_at:
        raise UnusableSnapshot("its head is that of another snapshot")
    return head


def _name(taken_at: int, last: str) -> str:
    return f"{FOLDER}/{taken_at:016d}/{last}"


def _part_name(taken_at: int, number: int) -> str:
    return _name(taken_at, f"{number:06d}")
