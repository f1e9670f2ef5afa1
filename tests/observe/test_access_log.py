# SPDX-License-Identifier: Apache-2.0
"""The line of a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.observe.access_log import AccessLog, AccessRecord
from moorage.observe.writer import LineWriter
from tests.observe.conftest import Output

if TYPE_CHECKING:
    from moorage.observe.formats import LineFormat
    from tests.observe.conftest import Recorder


def record() -> AccessRecord:
    """A record with everything in it."""
    return AccessRecord(
        request_id="r1",
        method="GET",
        path="/v2/a/b/manifests/1.0",
        status=404,
        duration_ms=1.25,
        principal="alice",
        repository="a/b",
        reference="1.0",
        bytes_in=1,
        bytes_out=2,
        client="192.0.2.1",
        user_agent="docker/24 (linux)",
        error="MANIFEST_UNKNOWN",
    )


def test_json_names_everything(recorder: Recorder) -> None:
    """All that is known of a request is in its line, with the static fields."""
    logs = recorder.configure(formatter="json", fields={"service": "registry"})
    logs.access_log.write(record())

    (entry,) = recorder.output.entries
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {
        "level": "info",
        "msg": "request",
        "request_id": "r1",
        "method": "GET",
        "path": "/v2/a/b/manifests/1.0",
        "status": 404,
        "duration_ms": 1.25,
        "principal": "alice",
        "repository": "a/b",
        "reference": "1.0",
        "bytes_in": 1,
        "bytes_out": 2,
        "client": "192.0.2.1",
        "user_agent": "docker/24 (linux)",
        "error": "MANIFEST_UNKNOWN",
        "service": "registry",
    }


def test_logstash_has_its_keys(recorder: Recorder) -> None:
    """The head is that of the other lines in this format."""
    recorder.configure(formatter="logstash").access_log.write(record())

    (entry,) = recorder.output.entries
    assert (entry["@version"], entry["message"]) == ("1", "request")
    assert "@timestamp" in entry


def test_text_is_readable(recorder: Recorder) -> None:
    """People see status, method and path first."""
    recorder.configure(formatter="text", fields={"zone": "a"}).access_log.write(record())

    expected = (
        " REQUEST 404 GET /v2/a/b/manifests/1.0 1.25ms in=1 out=2 client=192.0.2.1 id=r1"
        " principal=alice repository=a/b reference=1.0 error=MANIFEST_UNKNOWN"
        ' agent="docker/24 (linux)" zone=a\n'
    )
    assert recorder.output.text[24:] == expected


def test_empty_fields_are_left_out(recorder: Recorder) -> None:
    """A ping has no repository, and its line says nothing about one."""
    logs = recorder.configure(formatter="json")
    logs.access_log.write(AccessRecord("r1", "GET", "/v2/", 401, 0.2))

    assert set(recorder.output.entries[0]) == {
        *("time", "level", "msg", "request_id", "method", "path", "status", "duration_ms"),
    }


def test_lines_do_not_depend_on_the_level(recorder: Recorder) -> None:
    """The access log has a switch of its own."""
    logs = recorder.configure(formatter="json", level="error")
    logs.access_log.write(record())

    assert len(recorder.output.entries) == 1


def test_secrets_in_a_query_are_hidden(recorder: Recorder) -> None:
    """Should a path come with its query, credentials in it are hidden."""
    logs = recorder.configure(formatter="json")
    logs.access_log.write(AccessRecord("r1", "GET", "/token?x=1&refresh_token=abc", 200, 1.0))

    assert recorder.output.entries[0]["path"] == "/token?x=1&refresh_token=[hidden]"


@pytest.mark.parametrize("line_format", ["json", "logstash", "text"])
@given(text=st.text() | st.sampled_from(["\n" * 300, "\x1b[2J", "\ud800", "x" * 10**5]))
def test_no_client_forges_a_line(line_format: LineFormat, text: str) -> None:
    """Whatever a client sends, its line is one line, printable and bounded."""
    output = Output()
    log = AccessLog(LineWriter(output), line_format, fields={})
    log.write(
        AccessRecord(
            request_id=text,
            method=text,
            path=text,
            status=400,
            duration_ms=1.0,
            principal=text,
            repository=text,
            reference=text,
            client=text,
            user_agent=text,
            error=text,
        )
    )

    assert output.text.endswith("\n")
    assert output.text[:-1].isprintable()
    assert len(output.text) < 40_000
