# SPDX-License-Identifier: Apache-2.0
"""What the log says of a request to the whole registry: who, what, how much, what went wrong."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from moorage.app import create_app
from moorage.observe.logs import configure
from moorage.settings import load
from tests.support.asgi import InProcess
from tests.support.images import blob_path, manifest_path, random_blob, with_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from moorage.observe.logs import Logs

UPLOADS = "/v2/a/b/blobs/uploads/"


class Logged:
    """A registry in process whose log can be read."""

    def __init__(self, client: InProcess, logs: Logs, stream: io.BytesIO, root: Path) -> None:
        self.client = client
        self.root = root
        self._logs = logs
        self._stream = stream

    def requests(self) -> list[dict[str, object]]:
        """All lines of requests."""
        return [entry for entry in self._entries() if entry["msg"] == "request"]

    def errors(self) -> list[dict[str, object]]:
        """All errors."""
        return [entry for entry in self._entries() if entry["level"] == "error"]

    def last(self) -> dict[str, object]:
        """The line of the latest request."""
        return self.requests()[-1]

    def _entries(self) -> list[dict[str, object]]:
        self._logs.flush()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Logged]:
    """A registry behind a proxy, logging to memory."""
    config = tmp_path / "config.yml"
    root = tmp_path / "data"
    config.write_text(
        json.dumps(
            {
                "storage": {
                    "filesystem": {"rootdirectory": str(root)},
                    "delete": {"enabled": True},
                },
                "http": {"trustedproxies": ["127.0.0.1/32"]},
            }
        )
    )
    stream = io.BytesIO()
    logs = configure(formatter="json", stream=stream)
    try:
        with InProcess(create_app(load(config, {}).settings, logs.access_log)) as client:
            yield Logged(client, logs, stream, root)
    finally:
        logs.close()


def test_a_push_and_a_pull(logged: Logged) -> None:
    """Method, path, status, repository, reference, bytes in and out, client, agent and time."""
    blob = random_blob(1000)
    logged.client.request(
        "POST",
        with_digest(UPLOADS, blob.digest),
        ("X-Forwarded-For", "198.51.100.1"),
        ("User-Agent", "pusher/1.0"),
        body=blob.payload,
    )
    pushed = logged.last()
    logged.client.request("GET", blob_path("a/b", blob.digest))
    pulled = logged.last()

    assert pushed["method"] == "POST"
    assert pushed["status"] == 201
    assert pushed["repository"] == "a/b"
    assert pushed["bytes_in"] == 1000
    assert pushed["client"] == "198.51.100.1"
    assert pushed["user_agent"] == "pusher/1.0"
    assert pushed["principal"] == "anonymous"
    assert isinstance(pushed["duration_ms"], float)
    assert pulled["path"] == blob_path("a/b", blob.digest)
    assert pulled["reference"] == blob.digest
    assert pulled["bytes_out"] == 1000
    assert pulled["client"] == "127.0.0.1"
    assert pulled["request_id"] != pushed["request_id"]
    assert "error" not in pulled


def test_refusals_have_their_code(logged: Logged) -> None:
    """What a client was refused for can be counted by its code."""
    logged.client.request("GET", manifest_path("a/b", "missing"))
    assert logged.last()["error"] == "MANIFEST_UNKNOWN"
    assert logged.last()["reference"] == "missing"

    logged.client.request("GET", "/v2/a/UPPER/tags/list")
    assert logged.last()["error"] == "NAME_INVALID"

    logged.client.request("GET", "/nothing/here")
    assert logged.last()["status"] == 404
    assert "repository" not in logged.last()


def test_a_head_and_a_304_send_nothing(logged: Logged) -> None:
    """Bytes out are those of bodies, and these have none."""
    blob = random_blob(500)
    logged.client.request("POST", with_digest(UPLOADS, blob.digest), body=blob.payload)
    target = blob_path("a/b", blob.digest)

    logged.client.request("HEAD", target)
    assert logged.last().get("bytes_out", 0) == 0
    logged.client.request("GET", target, ("If-None-Match", f'"{blob.digest}"'))
    assert logged.last()["status"] == 304
    assert logged.last().get("bytes_out", 0) == 0


def test_a_head_of_what_is_answered_like_get_sends_nothing(logged: Logged) -> None:
    """A list that is only asked about is not counted as sent."""
    logged.client.request("HEAD", "/v2/_catalog")

    assert logged.last()["status"] == 200
    assert logged.last().get("bytes_out", 0) == 0


def test_a_cut_upload_is_logged_with_what_came(logged: Logged) -> None:
    """A client that left has its line too, with the bytes that had arrived."""
    location = logged.client.request("POST", UPLOADS).location
    logged.client.cut("PATCH", location, pieces=[b"abc", b"de"])

    assert logged.last()["status"] == 499
    assert logged.last()["bytes_in"] == 5


def test_a_fault_is_logged_once_and_found_by_its_request(logged: Logged) -> None:
    """A blob whose file is gone is a 500 whose reason the operator finds by the request's id."""
    blob = random_blob()
    logged.client.request("POST", with_digest(UPLOADS, blob.digest), body=blob.payload)
    for path in (logged.root / "blobs" / "sha256" / blob.digest[7:9]).iterdir():
        path.unlink()

    answer = logged.client.request("GET", blob_path("a/b", blob.digest))

    assert answer.status == 500
    assert answer.error_codes() == ["UNKNOWN"]
    (error,) = logged.errors()
    assert logged.last()["status"] == 500
    assert logged.last()["error"] == "UNKNOWN"
    assert error["request_id"] == logged.last()["request_id"]
    assert blob.digest in str(error["msg"])
