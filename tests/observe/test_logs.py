# SPDX-License-Identifier: Apache-2.0
"""The program's log, from the call to the line."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

from moorage.observe.logs import configure, get_logger

if TYPE_CHECKING:
    from tests.observe.conftest import Recorder

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def caught(message: str) -> RuntimeError:
    """An error with a traceback."""
    with pytest.raises(RuntimeError) as info:
        raise RuntimeError(message)
    return info.value


def test_json_has_the_keys_of_distribution(recorder: Recorder) -> None:
    """Time, level and msg as registry:2 writes them, then ours and the static fields."""
    recorder.configure(formatter="json", fields={"service": "registry", "zone": 3})
    get_logger("moorage.test").warning("disk is filling up", free=12, path="/a b")

    (entry,) = recorder.output.entries
    assert re.fullmatch(TIME, entry.pop("time"))
    assert entry == {
        "level": "warning",
        "msg": "disk is filling up",
        "logger": "moorage.test",
        "service": "registry",
        "zone": 3,
        "free": 12,
        "path": "/a b",
    }


def test_logstash_has_its_keys(recorder: Recorder) -> None:
    """What Logstash's JSON codec expects."""
    recorder.configure(formatter="logstash")
    get_logger("x").info("hello", a=1)

    (entry,) = recorder.output.entries
    assert re.fullmatch(TIME, entry.pop("@timestamp"))
    assert entry == {
        "@version": "1",
        "level": "info",
        "message": "hello",
        "logger_name": "x",
        "a": 1,
    }


def test_text_is_readable(recorder: Recorder) -> None:
    """One line for people; values are quoted only where they have to be."""
    recorder.configure(formatter="text", fields={"zone": "a"})
    get_logger("moorage.test").error("it broke", path="/a b", size=3, quote='x"y', empty="")

    expected = r' ERROR   it broke path="/a b" size=3 quote="x\"y" empty="" zone=a (moorage.test)'
    assert re.fullmatch(TIME + re.escape(expected) + "\n", recorder.output.text)


@pytest.mark.parametrize(
    ("is_terminal", "no_color", "is_text", "is_colored"),
    [(True, "", True, True), (True, "1", True, False), (False, "", False, False)],
)
def test_terminals_get_text_and_color(
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_terminal: bool,
    no_color: str,
    is_text: bool,
    is_colored: bool,
) -> None:
    """Left to itself the log is text on a terminal and JSON elsewhere; NO_COLOR is obeyed."""
    monkeypatch.setenv("NO_COLOR", no_color)
    recorder.output.is_terminal = is_terminal
    recorder.configure()
    get_logger("x").info("hello")

    assert (not recorder.output.text.startswith("{")) is is_text
    assert ("\x1b[" in recorder.output.text) is is_colored


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warn", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_levels(recorder: Recorder, level: str, expected: list[str]) -> None:
    """Only what is at least as important as the level is written."""
    recorder.configure(formatter="json", level=level)
    log = get_logger("x")
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")

    assert [entry["msg"] for entry in recorder.output.entries] == expected


@pytest.mark.parametrize("formatter", ["json", "logstash", "text"])
def test_no_text_forges_a_line(recorder: Recorder, formatter: str) -> None:
    """Line ends and terminal commands in messages, names and values stay inside their line."""
    recorder.configure(formatter=formatter)
    evil = 'x\n{"level":"error"}\r\x1b[2J\u2028'
    get_logger("a\nb").info(evil, **{evil: evil, "list": [evil]})

    assert len(recorder.output.text.splitlines()) == 1
    assert "\x1b" not in recorder.output.text


@pytest.mark.parametrize("formatter", ["json", "text"])
def test_secrets_are_never_written(recorder: Recorder, formatter: str) -> None:
    """Neither in the message, nor in a field, nor in a traceback."""
    recorder.configure(formatter=formatter)
    reporter = get_logger("x")
    reporter.info(
        "sent Basic YWxpY2U6aHVudGVyMg==", authorization="hunter2", url="/t?token=hunter2"
    )
    reporter.exception(
        "it broke", caught("https://alice:hunter2@registry.example"), password="hunter2"
    )

    assert "hunter2" not in recorder.output.text
    assert "YWxpY2U6aHVudGVyMg" not in recorder.output.text
    assert "[hidden]" in recorder.output.text


def test_fields_cannot_replace_what_a_line_says(recorder: Recorder) -> None:
    """A field that is called like a key of ours does not win."""
    recorder.configure(formatter="json", fields={"msg": "no"})
    get_logger("x").info("yes", level="no", time="no")

    (entry,) = recorder.output.entries
    assert (entry["msg"], entry["level"]) == ("yes", "info")
    assert entry["time"] != "no"


def test_tracebacks(recorder: Recorder) -> None:
    """A fault of our own is logged with its traceback, in text indented below its line."""
    reporter = get_logger("x")
    for formatter in ("json", "text"):
        recorder.configure(formatter=formatter)
        reporter.exception(
            "it broke", caught("boom\n2024-01-01T00:00:00Z INFO forged"), request_id="r1"
        )

    first, *rest = recorder.output.text.splitlines()
    assert "RuntimeError: boom" in first
    assert "it broke request_id=r1" in rest[0]
    assert len(rest) > 2
    assert all(line.startswith("    ") for line in rest[1:])


def test_libraries_come_out_of_the_same_door(recorder: Recorder) -> None:
    """Whoever uses the standard library's logging, or warns, is in the log in the same form."""
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.addHandler(logging.NullHandler())
    uvicorn.propagate = False
    recorder.configure(formatter="json")
    uvicorn.info("started %s", "well")
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("asyncio").warning("slow\ncallback")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)

    entries = [(entry["logger"], entry["msg"]) for entry in recorder.output.entries]
    assert entries[:2] == [("uvicorn.error", "started well"), ("asyncio", "slow\\ncallback")]
    assert entries[2][0] == "py.warnings"
    assert "old thing" in entries[2][1]
    assert len(entries) == 3


def test_records_that_cannot_be_formatted_stop_nobody(recorder: Recorder) -> None:
    """A library's broken record is reported, not raised."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    recorder.configure(formatter="json")
    broken = logging.LogRecord("x", logging.INFO, "", 0, "%d", ("no number",), None)
    logging.getLogger().handlers[-1].handle(broken)
    get_logger("x").info("hello", thing=Broken())

    assert [entry["msg"] for entry in recorder.output.entries] == ["unreadable log record"] * 2


def test_configuring_twice_writes_once(recorder: Recorder) -> None:
    """A second configuration replaces the first."""
    recorder.configure(formatter="json")
    recorder.configure(formatter="json")
    get_logger("x").info("hello")

    assert len(recorder.output.entries) == 1


def test_closing_gives_logging_back(recorder: Recorder) -> None:
    """After it is closed the log writes nothing more and has left no handler behind."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    configure(stream=recorder.output).close()
    get_logger("x").error("hello")

    assert (list(root.handlers), root.level) == before
    assert recorder.output.text == ""


def test_standard_error_is_the_default_and_flushed_at_exit() -> None:
    """A program that ends writes what waited, even from inside its loop."""
    program = """
import asyncio
from moorage.observe.access_log import AccessRecord
from moorage.observe.logs import configure, get_logger
logs = configure(formatter="json")
async def main():
    logs.access_log.write(AccessRecord("r1", "GET", "/v2/", 200, 1.0))
    raise SystemExit(0)
asyncio.run(main())
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert '"request_id":"r1"' in run.stderr
    assert run.stdout == ""
