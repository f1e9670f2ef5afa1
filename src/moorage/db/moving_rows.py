# SPDX-License-Identifier: Apache-2.0
"""A table and its rows as both engines see them, and the checksum that both compute alike.

A row is the values of `columns`, a key those of `key`. The checksum of a row is the SHA-256 of its
values as text, each with its length, so that no two rows can be spelled alike; that of a range of
rows is the SHA-256 of theirs, in the order of their keys, compared bytewise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from moorage.db.protocol import Row, Value

Key = tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the catalogue: its columns, and which of them are its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def key_of(self, row: Row) -> Key:
        """The primary key of one of its rows."""
        return tuple(row[self.columns.index(column)] for column in self.key)

    @property
    def column_list(self) -> str:
        """All columns, as SQL."""
        return quoted(self.columns)

    @property
    def key_list(self) -> str:
        """The columns of the key, as SQL."""
        return quoted(self.key)


def quoted(names: Iterable[str]) -> str:
    """Names as SQL."""
    return ", ".join(f'"{name}"' for name in names)


def key_text(key: Key) -> str:
    """A key as text; `json_array` of SQLite writes the same."""
    return json.dumps(key, ensure_ascii=False, separators=(",", ":"))


def key_from(text: str) -> Key:
    """The key that the text stands for."""
    return tuple(json.loads(text))


def row_checksum(row: Row) -> bytes:
    """The checksum of a row, as PostgreSQL computes it with `checksum_sql`."""
    return sha256(",".join(map(_spelled, row)).encode()).digest()


def range_checksum(rows: Sequence[Row]) -> bytes:
    """The checksum of rows in the order of their keys."""
    return sha256(b"".join(map(row_checksum, rows))).digest()


def checksum_sql(columns: Iterable[tuple[str, str]]) -> str:
    """The checksum of a row of PostgreSQL, given the names and types of its columns."""
    spelled = ", ".join(_spelled_sql(name, kind) for name, kind in columns)
    return f"sha256(convert_to(concat_ws(',', {spelled}), 'UTF8'))"


def _spelled(value: Value) -> str:
    if value is None:
        return "-"
    text = sha256(value).hexdigest() if isinstance(value, bytes) else str(value)
    return f"{len(text)}:{text}"


def _spelled_sql(column: str, kind: str) -> str:
    name = f'"{column}"'
    text = f"encode(sha256({name}), 'hex')" if kind == "bytea" else f"{name}::text"
    return f"coalesce(length({text}) || ':' || {text}, '-')"
