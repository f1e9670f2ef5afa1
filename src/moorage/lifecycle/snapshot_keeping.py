# SPDX-License-Identifier: Apache-2.0
"""Takes a snapshot when one is due, and sees to it that every manifest has its record.

Every process asks now and then whether the newest snapshot is old enough; the store answers for all
of them. Two that find so at once take two snapshots, which does no harm.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.content.changes import now
from moorage.content.records import ManifestRecord, ManifestRecords, RecordName
from moorage.lifecycle.snapshots import (
    SignatureKey,
    UnusableSnapshot,
    delete_snapshot,
    read_head,
    snapshot_times,
    write_snapshot,
)
from moorage.observe.logs import get_logger
from moorage.spec.digests import Digest
from moorage.spec.names import RepositoryName

if TYPE_CHECKING:
    from moorage.db.protocol import Database, Row
    from moorage.lifecycle.snapshots import Head
    from moorage.storage.protocol import RecordKeeper

_MICROSECONDS = 1_000_000
# A transaction may get its event's number long before it commits; after this time it is over.
SETTLED_SECONDS = 300
# Nobody writes one snapshot for a day.
ABANDONED_SECONDS = 24 * 3600

# The first event of a database that was rebuilt.
REBUILDING = "registry.rebuilding"
_FIRST_EVENT = "SELECT id, action FROM events ORDER BY seq LIMIT 1"
_LAST_EVENT = "SELECT seq, at FROM events ORDER BY seq DESC LIMIT 1"
# A manifest has up to 4 MiB, and a page of them is in memory at once.
PAGE = 16
_MANIFESTS = """
    SELECT m.id, r.name, m.digest, m.pushed_at, m.media_type, m.pushed_by, m.payload
    FROM manifests m JOIN repositories r ON r.id = m.repository_id
    WHERE m.deleted_at IS NULL AND m.id > $1 ORDER BY m.id LIMIT $2
"""
# In this store every manifest has a record: written when those that were there before records
# existed, or before the store was this one, have been written too.
FILLED = "marks/manifests-have-records"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOptions:
    """How often (seconds), how many are kept, and the key."""

    interval: float
    keep: int
    key: SignatureKey


class SnapshotKeeping:
    """The snapshots of one registry."""

    def __init__(self, database: Database, keeper: RecordKeeper, options: SnapshotOptions) -> None:
        self._database = database
        self._keeper = keeper
        self._options = options
        self._log = get_logger("moorage")

    @property
    def interval(self) -> float:
        """How often somebody should ask whether a snapshot is due (seconds)."""
        return self._options.interval / 4

    async def run(self) -> Head | None:
        """Take a snapshot if one is due, and forget old ones; return what was taken."""
        first = await self._database.fetch_one(_FIRST_EVENT)
        complete, begun = await snapshot_times(self._keeper)
        if first is None:
            if complete:
                self._warn()
            return None
        if complete and not await self._is_due(complete[0], first):
            return None
        await self.fill()
        head = await write_snapshot(self._database, self._keeper, self._options.key, now())
        abandoned = head.taken_at - ABANDONED_SECONDS * _MICROSECONDS
        old = complete[self._options.keep - 1 :]
        for taken_at in [*old, *(time for time in begun if time < abandoned)]:
            await delete_snapshot(self._keeper, taken_at)
        return head

    async def _is_due(self, newest: int, first: Row) -> bool:
        """Whether the newest snapshot is old enough, and something has changed since.

        `first` is the first event of all.
        """
        if now() - newest < self._options.interval * _MICROSECONDS:
            return False
        try:
            head = await read_head(self._keeper, newest)
        except UnusableSnapshot:
            return True
        if first[0] != head.origin:
            if first[1] == REBUILDING:
                return True
            self._warn()
            return False
        last = await self._database.fetch_one(_LAST_EVENT)
        assert last is not None  # there is a first
        number, at = last
        settled = at + SETTLED_SECONDS * _MICROSECONDS <= head.taken_at
        return number != head.last_event or not settled

    def _warn(self) -> None:
        """A registry that has lost its database must not push out what it can be rebuilt from."""
        self._log.warning(
            "no snapshot is taken: those in the store are of another database; if this one was "
            "lost, stop the registry and run moorage rebuild; otherwise delete the snapshots"
        )

    async def fill(self) -> int:
        """Write the records that are missing in a store that never had all of them."""
        try:
            await self._keeper.get_record(FILLED)
        except KeyError:
            count = await write_records(self._database, self._keeper)
            await self._keeper.put_record(FILLED, b"", durable=True)
            return count
        return 0


async def write_records(database: Database, keeper: RecordKeeper) -> int:
    """Write the record of every manifest; return how many that were."""
    records, after, count = ManifestRecords(keeper), 0, 0
    while rows := await database.fetch_all(_MANIFESTS, after, PAGE):
        for _, repository, digest, pushed_at, media_type, pushed_by, payload in rows:
            name = RecordName(RepositoryName(repository), Digest(digest), pushed_at)
            await records.write(ManifestRecord(name, media_type, pushed_by, payload))
            # A file is written without waiting for anything: let requests come between them.
            await asyncio.sleep(0)
        after = rows[-1][0]
        count += len(rows)
    return count
