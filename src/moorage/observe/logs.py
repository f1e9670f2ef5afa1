# SPDX-License-Identifier: Apache-2.0
"""The program's log: who may write to it and where it goes.

Built on the standard library's logging, so that libraries (asyncio, warnings, servers) come out of
the same door in the same form. How a line looks is in `formats`, what may stand in it in
`redaction`, the line of a request in `access_log`. Invariant: logging never raises into whoever
logs, and nothing is configured before `configure` is called.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Literal

from moorage.observe.access_log import AccessLog
from moorage.observe.formats import Entry, EntryFormat, JSONFormat, LineFormat, TextFormat
from moorage.observe.redaction import field_value, message_text, printable, traceback_text
from moorage.observe.writer import LineWriter

if TYPE_CHECKING:
    from types import TracebackType

Level = Literal["debug", "info", "warn", "error"]

Formatter = Literal["auto", "text", "json", "logstash"]

_LEVELS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}

# Servers bring handlers of their own; their lines belong into this log, once.
_ROUTED = ("asyncio", "py.warnings", "uvicorn", "uvicorn.error", "uvicorn.asgi")

# The registry writes its own line a request.
_SILENCED = ("uvicorn.access",)


class Logger:
    """Writes messages with fields: `log.warning("disk is filling up", free=free)`."""

    __slots__ = ("_target",)

    def __init__(self, target: logging.Logger) -> None:
        self._target = target

    def debug(self, message: str, /, **fields: object) -> None:
        """Say what only helps to find a fault."""
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Say what happened."""
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Say what an operator should look at some time."""
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Say what an operator must look at."""
        self._write(logging.ERROR, message, fields)

    def exception(self, message: str, error: BaseException, /, **fields: object) -> None:
        """Report a fault of our own, with its traceback."""
        self._write(logging.ERROR, message, fields, error)

    def _write(
        self,
        level: int,
        message: str,
        fields: dict[str, object],
        error: BaseException | None = None,
    ) -> None:
        target = self._target
        if target.isEnabledFor(level):
            exc_info = None if error is None else (type(error), error, error.__traceback__)
            record = logging.LogRecord(target.name, level, "", 0, message, (), exc_info)
            record.__dict__["fields"] = fields
            target.handle(record)


def get_logger(name: str) -> Logger:
    """The logger of a part of the program, such as `moorage.access`."""
    return Logger(logging.getLogger(name))


class _LineHandler(logging.Handler):
    """The one door out: formats each record and hands the line to the writer."""

    def __init__(self, writer: LineWriter, line_format: EntryFormat) -> None:
        super().__init__()
        self._writer = writer
        self._format = line_format
        self._tracebacks = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._format.line(self._entry(record))
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not stop anybody
            entry = Entry(record.created, "error", printable(record.name), "unreadable log record")
            line = self._format.line(entry)
        self._writer.write(line)

    def _entry(self, record: logging.LogRecord) -> Entry:
        fields = record.__dict__.get("fields")
        return Entry(
            time=record.created,
            level=record.levelname.lower(),
            logger=printable(record.name),
            message=message_text(record.getMessage()),
            fields=_clean(fields) if isinstance(fields, Mapping) else {},
            traceback=self._traceback(record.exc_info),
        )

    def _traceback(
        self,
        exc_info: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None]
        | None,
    ) -> str | None:
        if exc_info is None or exc_info[0] is None:
            return None
        return traceback_text(self._tracebacks.formatException(exc_info))


def _clean(fields: Mapping[str, object]) -> dict[str, object]:
    return {printable(str(name)): field_value(str(name), value) for name, value in fields.items()}


class Logs:
    """The log as it was configured, until it is closed."""

    def __init__(self, writer: LineWriter, handler: logging.Handler, access_log: AccessLog) -> None:
        self.access_log = access_log
        self._writer = writer
        self._handler = handler
        self._root_level = logging.getLogger().level
        atexit.register(writer.flush)

    def flush(self) -> None:
        """Write everything that waits: before a fork, and at the end."""
        self._writer.flush()

    def close(self) -> None:
        """Flush, and give the standard library's logging back as it was found."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        root.setLevel(self._root_level)
        logging.captureWarnings(capture=False)
        self.flush()
        atexit.unregister(self._writer.flush)


def configure(
    *,
    level: Level = "info",
    formatter: Formatter = "auto",
    fields: Mapping[str, object] | None = None,
    stream: IO[bytes] | None = None,
) -> Logs:
    """Send everything that is logged in this process to the stream (standard error).

    `auto` is text on a terminal and JSON elsewhere; `fields` are added to every line.
    """
    output = sys.stderr.buffer if stream is None else stream
    is_terminal = output.isatty()
    static = _clean(fields or {})
    writer = LineWriter(output)
    chosen: LineFormat = ("text" if is_terminal else "json") if formatter == "auto" else formatter
    if chosen == "text":
        color = is_terminal and not os.environ.get("NO_COLOR")
        line_format: EntryFormat = TextFormat(static, color=color)
    else:
        line_format = JSONFormat(chosen, static)
    handler = _LineHandler(writer, line_format)
    logs = Logs(writer, handler, AccessLog(writer, chosen, fields=static))
    _take_over(handler, _LEVELS[level])
    return logs


def _take_over(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name in _ROUTED:
        routed = logging.getLogger(name)
        routed.handlers.clear()
        routed.propagate = True
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
