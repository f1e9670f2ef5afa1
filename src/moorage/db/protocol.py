# SPDX-License-Identifier: Apache-2.0
"""What the rest of the program may ask of a database, whichever engine it is.

Reads see everything committed before they began, by any process. A transaction is a function
that the database may run more than once, so it must do nothing but talk to the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")

Value = str | int | bytes | None
# One result row, in the order of the SELECT list; what each column holds is known by its statement.
Row = tuple[Any, ...]


class Reader(Protocol):
    """Runs one statement and returns its rows."""

    async def fetch_one(self, sql: str, *arguments: Value) -> Row | None:
        """The first row, or None when there is none."""

    async def fetch_all(self, sql: str, *arguments: Value) -> list[Row]:
        """All rows."""


class View(Reader, Protocol):
    """The database as it was at one moment, whatever is written meanwhile."""

    async def columns(self, table: str) -> tuple[str, ...]:
        """The names of a table's columns, in the order in which `SELECT *` gives them."""
        ...

    def rows(self, sql: str, *arguments: Value) -> AsyncIterator[list[Row]]:
        """All rows, some at a time: for statements whose result does not fit into memory."""
        ...


class Transaction(Reader, Protocol):
    """An open transaction: all of it happens, or nothing."""

    async def execute(self, sql: str, *arguments: Value) -> int:
        """Run a statement that changes rows; return how many it changed."""

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row of arguments."""


class Database(Reader, Protocol):
    """A database with the current schema."""

    async def start(self) -> None:
        """Connect and bring the schema up to date."""

    async def close(self) -> None:
        """Wait for what is under way and disconnect."""

    async def transaction(
        self, work: Callable[[Transaction], Awaitable[T]], *, durable: bool = True
    ) -> T:
        """Run `work` in a transaction and return its result once it is committed.

        A durable transaction has reached the disk when this returns. One that is not survives
        the end of the process but perhaps not a power cut: it is for state that a client can
        rebuild, such as the progress of an upload.

        Raises:
            InsufficientStorage: the disk is full; nothing was changed.
            Unavailable: the database could not be written; nothing was changed.
        """

    def view(self) -> AbstractAsyncContextManager[View]:
        """The database as it is now, for long reading, until the block ends."""
        ...


@runtime_checkable
class NumberingDatabase(Protocol):
    """The ability of an engine that does not notice when rows come with their numbers."""

    async def renumber(self) -> None:
        """Let the numbers of new rows go on after those that are there."""
