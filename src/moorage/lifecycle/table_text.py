# SPDX-License-Identifier: Apache-2.0
"""Rows of tables as compressed text that no engine owns: snapshots and backups are made of it.

Under gzip there is one JSON value a line. An object begins a table: {"table": …, "columns": […]}.
The arrays after it are its rows; bytes stand as {"base64": …}. Memory holds one piece at a time.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence

    from moorage.db.protocol import Row, Value

# The header and checksum of gzip, so that zcat shows what is inside.
_GZIP = 31
# A manifest of 4 MiB in base64, with everything else that a row may hold.
MAX_LINE_BYTES = 16 * 1024 * 1024
# So much is decompressed at a time; a damaged or hostile file cannot make it more.
_STEP_BYTES = 256 * 1024

_encode = msgspec.json.Encoder().encode_into
_decode = msgspec.json.Decoder().decode


class DamagedText(Exception):
    """The text breaks off, or is not what is described above."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one table."""

    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]

    def picked(self, *columns: str) -> Iterator[tuple[Value, ...]]:
        """The rows with these columns only; one that the text does not have is None."""
        places = [self.columns.index(name) if name in self.columns else -1 for name in columns]
        for row in self.rows:
            yield tuple(row[place] if place >= 0 else None for place in places)


class TextWriter:
    """Makes the text; each method returns the bytes that are ready."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(wbits=_GZIP)

    def table(self, name: str, columns: Sequence[str]) -> bytes:
        """Begin a table."""
        head = msgspec.json.encode({"table": name, "columns": list(columns)})
        return self._compressor.compress(head + b"\n")

    def rows(self, rows: Iterable[Row]) -> bytes:
        """Rows of the table that was begun last."""
        lines = bytearray()
        for row in rows:
            plain = [{"base64": b64encode(v).decode()} if isinstance(v, bytes) else v for v in row]
            _encode(plain, lines, len(lines))
            lines += b"\n"
        return self._compressor.compress(lines)

    def end(self) -> bytes:
        """The last bytes."""
        return self._compressor.flush()


class TextReader:
    """Takes the text in pieces of any length, and gives the rows that are complete."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(wbits=_GZIP)
        self._rest = b""
        self._table: str | None = None
        self._columns: tuple[str, ...] = ()

    def feed(self, piece: bytes) -> Iterator[Rows]:
        """The rows that end in this piece, in order; a table without rows is given once.

        Raises:
            DamagedText: with what is wrong.
        """
        try:
            text = self._decompressor.decompress(piece, _STEP_BYTES)
            while text:
                yield from self._lines(text)
                # Some of the text may still be in there when all of the piece is.
                text = self._decompressor.decompress(
                    self._decompressor.unconsumed_tail, _STEP_BYTES
                )
        except zlib.error as error:
            raise DamagedText(f"it cannot be decompressed: {error}") from error

    def end(self) -> None:
        """Insist that the text was complete.

        Raises:
            DamagedText: it breaks off.
        """
        if not self._decompressor.eof or self._decompressor.unused_data or self._rest:
            raise DamagedText("it breaks off before its end")

    def _lines(self, text: bytes) -> Iterator[Rows]:
        *lines, self._rest = (self._rest + text).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise DamagedText("one of its lines is too long")
        rows: list[tuple[Value, ...]] = []
        for line in lines:
            value = _value(line)
            if isinstance(value, dict):
                if rows:
                    yield Rows(self._table or "", self._columns, rows)
                    rows = []
                self._begin(value)
                yield Rows(self._table or "", self._columns, [])
            else:
                rows.append(self._row(value))
        if rows:
            yield Rows(self._table or "", self._columns, rows)

    def _begin(self, head: dict[str, object]) -> None:
        table, columns = head.get("table"), head.get("columns")
        if not isinstance(table, str) or not isinstance(columns, list):
            raise DamagedText("a table has no name or columns")
        self._table, self._columns = table, tuple(str(column) for column in columns)

    def _row(self, value: object) -> tuple[Value, ...]:
        if not isinstance(value, list) or len(value) != len(self._columns):
            raise DamagedText(f"a row of {self._table} has not {len(self._columns)} columns")
        return tuple(_cell(cell) for cell in value)


async def read_rows(pieces: AsyncIterable[bytes]) -> AsyncIterator[Rows]:
    """All rows of a text.

    Raises:
        DamagedText: with what is wrong.
    """
    reader = TextReader()
    async for piece in pieces:
        for rows in reader.feed(piece):
            yield rows
    reader.end()


def _value(line: bytes) -> object:
    try:
        return _decode(line)
    except msgspec.DecodeError as error:
        raise DamagedText(f"one of its lines is not JSON: {error}") from error


def _cell(cell: object) -> Value:
    if cell is None or isinstance(cell, str | int):
        return cell
    if isinstance(cell, dict) and isinstance(text := cell.get("base64"), str):
        return b64decode(text)
    raise DamagedText(f"a cell is {cell!r:.40}, which no column holds")
