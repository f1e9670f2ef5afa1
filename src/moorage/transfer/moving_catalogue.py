# SPDX-License-Identifier: Apache-2.0
"""A catalogue is moved from its SQLite file to PostgreSQL while registries serve from it.

Everything is copied, changes that come meanwhile are captured and follow in rounds, and all of it
is compared before the file is frozen: the freeze has to wait for the last few changes only, however
large the catalogue is. What serves follows by itself (`moorage.db.moving`). Invariants: until the
mark is set the file is the truth and any failure leaves it so; what was done is never done again
after a kill, except the comparison.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from moorage.db.moving_rows import range_checksum, row_checksum
from moorage.db.moving_source import MarkRefused, NotMovable
from moorage.db.moving_target import FAILURES, Different
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.db.moving_rows import Key, Table
    from moorage.db.moving_source import MovingSource
    from moorage.db.moving_target import MovingTarget
    from moorage.observe.progress import Progress

# A round of so few changes takes some milliseconds, which is what the freeze then lasts.
FEW_CHANGES = 50
# While everything is compared, changes are taken along before there are many.
MANY_CHANGES = 5000
# Changes that come faster than rounds take them along: then the freeze has to be longer.
CALM_ROUNDS = 20
SWITCH_ATTEMPTS = 5


@dataclass(slots=True)
class MoveReport:
    """What a move has done."""

    rows: dict[str, int] = field(default_factory=dict)
    changes: int = 0
    frozen_seconds: float = 0.0
    was_moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOptions:
    """How to move."""

    # The address of PostgreSQL as it may be shown.
    destination: str
    # This run of the machine: after another one SQLite may have lost what was copied already.
    boot: str
    schema_version: int
    # Rows a second to copy and compare; None is as fast as it goes.
    rate: float | None = None
    # Called before the freeze; raises CannotTransfer if somebody would not follow.
    all_follow: Callable[[], None] = lambda: None


class CatalogueMove:
    """One run of the move; after a kill another run goes on."""

    def __init__(
        self,
        source: MovingSource,
        target: MovingTarget,
        tables: list[Table],
        options: MoveOptions,
        progress: Progress,
    ) -> None:
        self._source = source
        self._target = target
        self._tables = tables
        self._options = options
        self._progress = progress
        self._pace = _Pace(options.rate)
        self._id = ""
        self._applied = 0
        self.report = MoveReport()

    async def run(self) -> MoveReport:
        """Move everything, or go on with it.

        Raises:
            CannotTransfer: why it cannot be done, or went wrong; the file is still the truth.
        """
        try:
            await self._target.lock()
            if self._source.mark is not None:
                await self._finish_again()
            else:
                await self._move()
        except Different as error:
            raise CannotTransfer(
                f"PostgreSQL does not hold what the file holds: {error}; nothing was switched. "
                "Does anybody else write to it? Run this with --abort, and then again"
            ) from error
        except NotMovable as error:
            raise CannotTransfer(str(error)) from error
        except FAILURES as error:
            raise CannotTransfer(f"PostgreSQL: {error}; run this again to go on") from error
        except sqlite3.Error as error:
            raise CannotTransfer(f"SQLite: {error}; run this again to go on") from error
        return self.report

    async def _move(self) -> None:
        whole = await self._begin()
        if not whole:
            for table in self._tables:
                await self._copy(table)
            await self._round()
            self._progress.begin("making indexes", 0, "items")
            await self._target.make_whole()
        await self._target.let_references_wait()
        for table in self._tables:
            await self._compare(table)
        await self._switch()
        self._progress.begin("finishing", 0, "items")
        await self._target.finish(self._id)
        self._source.checkpoint()

    # -- begin -----------------------------------------------------------------------------------

    async def _begin(self) -> bool:
        """Begin, or find out how far it is; whether only changes are missing."""
        if self._source.schema_version != self._options.schema_version:
            raise NotMovable(
                f"the file has schema version {self._source.schema_version}, PostgreSQL and this "
                f"program have {self._options.schema_version}: let the registry run the same "
                "moorage as this, or move with the one that it runs"
            )
        self._options.all_follow()
        found, standing = self._source.begun(), await self._target.standing()
        if standing is None and await self._target.holds_rows():
            raise NotMovable(
                "PostgreSQL already holds a catalogue, which this would mix with: name an empty "
                "database"
            )
        if standing is not None and (standing.id != found or standing.finished):
            raise NotMovable(
                "PostgreSQL holds the catalogue of another move: name an empty database, or end "
                "that move with --abort"
            )
        self._id = found or str(uuid4())
        if found is None:
            self._source.begin(self._id, self._tables)
        elif not self._source.watches(self._tables):
            raise NotMovable("the file got new tables: run this with --abort, and then again")
        same_boot = standing is not None and standing.boot == self._options.boot != ""
        if standing is None or not same_boot:
            await self._target.begin(self._id, self._options.boot)
            return False
        self._applied = standing.applied
        return standing.whole

    async def _finish_again(self) -> None:
        """What a run that was killed right after the mark has left."""
        mark, standing = self._source.mark, await self._target.standing()
        if mark is None or standing is None or standing.id != mark.id:
            where = "" if mark is None else f" ({mark.moved_to})"
            raise NotMovable(f"this catalogue was moved already, to another PostgreSQL{where}")
        await self._target.finish(mark.id)
        self.report.was_moved = True

    # -- copy and compare ------------------------------------------------------------------------

    async def _copy(self, table: Table) -> None:
        copied = await self._target.copied(table)
        self._progress.begin(f"copying {table.name}", self._source.count(table), "items")
        self._progress.advance(copied.rows)
        after, done = copied.after, copied.done
        while not done:
            rows = self._source.batch(table, after)
            done = not rows
            await self._target.copy(table, rows, done=done)
            after = table.key_of(rows[-1]) if rows else after
            self._progress.advance(len(rows))
            await self._pace.took(len(rows))

    async def _compare(self, table: Table) -> None:
        """Compare range by range; what differs must be waiting among the captured changes."""
        total = self._source.count(table)
        self._progress.begin(f"comparing {table.name}", total, "items")
        after: Key | None = None
        count, done = 0, False
        while not done:
            if self._source.backlog(self._applied) > MANY_CHANGES:
                await self._round()
            with self._source.moment():
                rows = self._source.batch(table, after)
                until = table.key_of(rows[-1]) if rows else None
                found = await self._target.range_checksum(table, after, until)
                if found != (len(rows), range_checksum(rows)):
                    expected = {table.key_of(row): row_checksum(row) for row in rows}
                    await self._explain(table, after, until, expected)
            done = not rows
            after = until
            count += len(rows)
            self._progress.advance(len(rows))
            await self._pace.took(len(rows))
        self.report.rows[table.name] = count

    async def _explain(
        self, table: Table, after: Key | None, until: Key | None, expected: dict[Key, bytes]
    ) -> None:
        actual = await self._target.range_rows(table, after, until)
        waiting = set(self._source.changes(self._applied).keys.get(table.name, ()))
        for key in (expected.keys() | actual.keys()) - waiting:
            if expected.get(key) != actual.get(key):
                raise Different(f"the row {key} of {table.name}")

    # -- catch up and switch ---------------------------------------------------------------------

    async def _round(self, *, forget: bool = True) -> None:
        """Bring PostgreSQL to where the file is now."""
        with self._source.moment():
            changes = self._source.changes(self._applied)
            if len(changes):
                await self._target.apply(changes, self._source)
        self._applied = changes.last
        self.report.changes += len(changes)
        if forget:
            self._source.forget_changes(self._applied)

    async def _switch(self) -> None:
        self._progress.begin("catching up and switching", 0, "items")
        for _ in range(SWITCH_ATTEMPTS):
            await self._target.let_references_wait()
            await self._catch_up()
            self._options.all_follow()
            begun = time.monotonic()
            self._source.freeze(self._id)
            try:
                await self._round(forget=False)
                await self._target.settle_references()
                await self._target.number_on(self._source.numbers())
                self._source.set_mark(
                    self._id,
                    self._applied,
                    self._options.schema_version,
                    self._options.destination,
                )
            except MarkRefused:
                # The freeze ran out, because this process was stopped or PostgreSQL was slow.
                self._source.thaw(self._id)
            except BaseException:
                self._source.thaw(self._id)
                raise
            else:
                self.report.frozen_seconds = time.monotonic() - begun
                return
        raise NotMovable(
            f"the last changes could not be copied within a freeze, {SWITCH_ATTEMPTS} times: is "
            "PostgreSQL very slow? Run this again at a quieter hour to go on"
        )

    async def _catch_up(self) -> None:
        for _ in range(CALM_ROUNDS):
            await self._round()
            if self._source.backlog(self._applied) <= FEW_CHANGES:
                return


async def abort_move(source: MovingSource, target: MovingTarget | None) -> None:
    """End a move that is not complete; the file stays the truth. Without `target` only there.

    Raises:
        CannotTransfer: it is complete, or PostgreSQL holds something else.
    """
    try:
        if source.mark is not None:
            raise CannotTransfer(
                "this catalogue was moved already, and PostgreSQL may have taken new images: there "
                "is nothing to abort"
            )
        if target is not None:
            await target.lock()
            standing = await target.standing()
            if standing is not None and (standing.finished or standing.id != source.begun()):
                raise CannotTransfer("PostgreSQL holds the catalogue of another move: it stays")
            await target.abort()
        source.abort()
    except NotMovable as error:
        raise CannotTransfer(str(error)) from error
    except FAILURES as error:
        raise CannotTransfer(f"PostgreSQL: {error}") from error


class _Pace:
    """No more than so many rows a second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_at = time.monotonic()

    async def took(self, rows: int) -> None:
        """Wait until that many rows were allowed."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + rows / self._rate
        await asyncio.sleep(self._free_at - now)
