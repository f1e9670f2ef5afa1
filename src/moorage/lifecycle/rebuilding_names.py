# SPDX-License-Identifier: Apache-2.0
"""What only a snapshot tells: repositories, their links, their tags, and what was deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.content.records import RecordName
from moorage.lifecycle.snapshots import DELETED
from moorage.spec.digests import Digest
from moorage.spec.names import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moorage.db.protocol import Database, Row, Transaction
    from moorage.lifecycle.rebuilding import RebuildReport
    from moorage.lifecycle.snapshots import Snapshot
    from moorage.lifecycle.table_text import Rows
    from moorage.observe.progress import Progress

_FIND = "SELECT id FROM repositories WHERE name = $1"
_LINK = """
    INSERT INTO repository_blobs (repository_id, digest, linked_at)
    SELECT CAST($1 AS BIGINT), digest, CAST($3 AS BIGINT) FROM blobs WHERE digest = $2
    ON CONFLICT (repository_id, digest) DO NOTHING
"""
_PRESENT = """
    SELECT 1 FROM manifests WHERE repository_id = $1 AND digest = $2 AND deleted_at IS NULL
"""
_TAG = """
    INSERT INTO tags (repository_id, name, digest, started_at, ended_at, actor)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
_FORGET_TAGS = "DELETE FROM tags"
_NAME = "SELECT name FROM repositories WHERE id = $1"

# The numbers that the lost database gave to repositories, and those that they have now.
Numbers = dict[object, int]


class NamesAgain:
    """Takes over the rows of a snapshot."""

    def __init__(self, database: Database, report: RebuildReport, progress: Progress) -> None:
        self._database = database
        self._report = report
        self._progress = progress

    async def repositories(self, snapshot: Snapshot) -> Numbers:
        """Make the repositories; return their numbers."""
        self._progress.begin("reading repositories", 0, "items")
        numbers: Numbers = {}
        async with self._database.view() as view:
            known = await view.columns("repositories")
        async for found in snapshot.rows("repositories"):
            columns = [name for name in found.columns if name in known and name != "id"]
            numbers.update(await self._add_repositories(found, columns))
        return numbers

    async def _add_repositories(self, found: Rows, columns: Sequence[str]) -> Numbers:
        places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        names = ", ".join(columns)
        insert = f"INSERT INTO repositories ({names}) VALUES ({places}) RETURNING id"  # noqa: S608 (columns of ours)
        rows = list(found.picked("id", "name", *columns))

        async def add(transaction: Transaction) -> Numbers:
            numbers: Numbers = {}
            for old, name, *values in rows:
                row = await transaction.fetch_one(_FIND, name)
                row = row or await transaction.fetch_one(insert, *values)
                assert row is not None  # RETURNING gives the row that was inserted
                numbers[old] = row[0]
            return numbers

        return await self._database.transaction(add, durable=False)

    async def links(self, snapshot: Snapshot, numbers: Mapping[object, int]) -> None:
        """Link blobs that are there as they were linked."""
        self._progress.begin("linking blobs", 0, "items")
        async for found in snapshot.rows("repository_blobs"):
            rows = [
                (numbers[old], digest, linked_at)
                for old, digest, linked_at in found.picked("repository_id", "digest", "linked_at")
                if old in numbers
            ]
            await self._link(rows)

    async def _link(self, rows: Sequence[Row]) -> None:
        async def link(transaction: Transaction) -> None:
            await transaction.execute_many(_LINK, rows)

        await self._database.transaction(link, durable=False)
        self._progress.advance(len(rows))

    async def deleted(self, snapshot: Snapshot, numbers: Mapping[object, int]) -> set[RecordName]:
        """The manifests that were deleted and whose records may still lie there."""
        names: dict[int, RepositoryName] = {}
        deleted: set[RecordName] = set()
        async for found in snapshot.rows(DELETED):
            for old, digest, pushed_at in found.picked("repository_id", "digest", "pushed_at"):
                number = numbers.get(old)
                if number is None or not isinstance(pushed_at, int):
                    continue
                if number not in names:
                    names[number] = await self._name(number)
                deleted.add(RecordName(names[number], Digest(str(digest)), pushed_at))
        return deleted

    async def _name(self, number: int) -> RepositoryName:
        row = await self._database.fetch_one(_NAME, number)
        return RepositoryName(row[0] if row else "")

    async def forget_tags(self) -> None:
        """Begin with no tag: those that a killed rebuild has written come again."""

        async def forget(transaction: Transaction) -> None:
            await transaction.execute(_FORGET_TAGS)

        await self._database.transaction(forget, durable=False)

    async def tags(self, snapshot: Snapshot, numbers: Mapping[object, int]) -> None:
        """Write the tags and their history; one whose manifest is not there has ended."""
        self._progress.begin("reading tags", 0, "items")
        columns = ("repository_id", "name", "digest", "started_at", "ended_at", "actor")
        async for found in snapshot.rows("tags"):
            rows = [
                (numbers[row[0]], *row[1:]) for row in found.picked(*columns) if row[0] in numbers
            ]
            count, lost = await self._add_tags(rows)
            self._report.tags += count
            for number, tag, digest in lost:
                self._report.miss(
                    f"the tag {await self._name(number)}:{tag} is not set: its manifest {digest} "
                    "was deleted after the snapshot, or is lost"
                )

    async def _add_tags(self, rows: Sequence[Row]) -> tuple[int, list[tuple[int, str, str]]]:
        at = now()

        async def add(transaction: Transaction) -> tuple[int, list[tuple[int, str, str]]]:
            count, lost, complete = 0, [], []
            for number, tag, digest, started_at, ended_at, actor in rows:
                end = ended_at
                if ended_at is None:
                    if await transaction.fetch_one(_PRESENT, number, digest) is None:
                        lost.append((number, tag, digest))
                        end = max(at, started_at)
                    else:
                        count += 1
                complete.append((number, tag, digest, started_at, end, actor))
            await transaction.execute_many(_TAG, complete)
            return count, lost

        result = await self._database.transaction(add, durable=False)
        self._progress.advance(len(rows))
        return result
