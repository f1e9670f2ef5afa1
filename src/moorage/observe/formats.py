# SPDX-License-Identifier: Apache-2.0
"""How an entry looks as a line: for people, as JSON, or as Logstash wants its JSON.

Pure functions of an entry; secrets and control characters are gone before it gets here (see
`redaction`). Invariant: one entry is one line; only a traceback for people takes more, and those
are indented, so that none of them looks like an entry.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

LineFormat = Literal["text", "json", "logstash"]

_COLORS = {"error": "\x1b[31m", "warning": "\x1b[33m", "info": "\x1b[32m", "debug": "\x1b[2m"}
_DIM = "\x1b[2m"
_PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened."""

    time: float
    level: str
    logger: str
    message: str
    fields: Mapping[str, object] = field(default_factory=dict)
    traceback: str | None = None


class EntryFormat(Protocol):
    """Turns entries into lines."""

    def line(self, entry: Entry) -> bytes:
        """The entry as a line, with its line end."""
        ...


class Timestamps:
    """Times as RFC 3339 in UTC with milliseconds; the second is formatted once, not every time."""

    def __init__(self) -> None:
        self._cached = (-1, "")

    def text(self, when: float) -> str:
        """The time as text."""
        second = int(when)
        cached, text = self._cached
        if second != cached:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._cached = (second, text)
        return f"{text}.{int((when - second) * 1000):03}Z"


class JSONFormat:
    """One JSON object a line, with the keys of distribution's own logs or those of Logstash."""

    def __init__(self, kind: Literal["json", "logstash"], static: Mapping[str, object]) -> None:
        self._is_logstash = kind == "logstash"
        self._static = dict(static)
        self._timestamps = Timestamps()
        self._encoder = msgspec.json.Encoder()

    def line(self, entry: Entry) -> bytes:
        """The entry as a line."""
        when = self._timestamps.text(entry.time)
        if self._is_logstash:
            head = {"@timestamp": when, "@version": "1", "level": entry.level}
            head |= {"message": entry.message, "logger_name": entry.logger}
        else:
            head = {"time": when, "level": entry.level, "msg": entry.message}
            head["logger"] = entry.logger
        document: dict[str, object] = {**self._static, **entry.fields, **head}
        if entry.traceback is not None:
            document["stack_trace" if self._is_logstash else "traceback"] = entry.traceback
        ordered = {**head, **document}
        return self._encoder.encode(ordered) + b"\n"


class TextFormat:
    """A line for people: time, level, message, then `name=value`."""

    def __init__(self, static: Mapping[str, object], *, color: bool) -> None:
        self._static = dict(static)
        self._color = color
        self._timestamps = Timestamps()

    def line(self, entry: Entry) -> bytes:
        """The entry as a line."""
        when = self._timestamps.text(entry.time)
        level = f"{entry.level.upper():7}"
        pairs = "".join(
            f" {name}={text_value(value)}"
            for name, value in {**entry.fields, **self._static}.items()
        )
        source = f" ({entry.logger})"
        if self._color:
            when, pairs, source = (f"{_DIM}{text}{_PLAIN}" for text in (when, pairs, source))
            level = f"{_COLORS.get(entry.level, '')}{level}{_PLAIN}"
        line = f"{when} {level} {entry.message}{pairs}{source}\n"
        if entry.traceback is not None:
            line += "".join(f"    {part}\n" for part in entry.traceback.split("\n") if part)
        return line.encode()


_QUOTES_NEEDED = frozenset(" \"=\\'")


def text_value(value: object) -> str:
    """A value in a line for people: bare where that is unambiguous, else as JSON."""
    if isinstance(value, str):
        if value and _QUOTES_NEEDED.isdisjoint(value):
            return value
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return msgspec.json.encode(value).decode()
