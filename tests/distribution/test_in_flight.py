# SPDX-License-Identifier: Apache-2.0
"""How many bodies one client may be sending: the one too many is told to wait, nobody else is."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.asgi import InProcess, registry_app
from tests.support.images import random_blob, with_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.asgi import Pending
    from tests.support.wire import Header

LIMIT = 2
UPLOADS = "/v2/a/blobs/uploads/"
ONE: Header = ("X-Forwarded-For", "192.0.2.1")
ANOTHER: Header = ("X-Forwarded-For", "192.0.2.2")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[InProcess]:
    """A registry behind a proxy, with a small limit."""
    config = {
        "limits": {"uploadsperclient": LIMIT},
        "http": {"trustedproxies": ["127.0.0.1/32"]},
    }
    with InProcess(registry_app(tmp_path, config)) as started:
        yield started


def busy(client: InProcess, who: Header) -> list[Pending]:
    """As many uploads as the client may have, all in the middle of their bodies."""
    found = []
    for _ in range(LIMIT):
        location = client.request("POST", UPLOADS, who).location
        pending = client.begin("PATCH", location, who)
        pending.send(b"beginning")
        found.append(pending)
    return found


def test_one_too_many_is_refused(client: InProcess) -> None:
    """PATCH, PUT and POST with a body beyond the limit are 429, with the time to come back."""
    blob = random_blob()
    location = client.request("POST", UPLOADS, ONE).location
    sending = busy(client, ONE)

    for method, target in (
        ("PATCH", location),
        ("PUT", with_digest(location, blob.digest)),
        ("POST", with_digest(UPLOADS, blob.digest)),
    ):
        answer = client.request(method, target, ONE, body=blob.payload)
        assert answer.status == 429, answer
        assert answer.error_codes() == ["TOOMANYREQUESTS"]
        assert int(answer.headers["Retry-After"]) > 0
    for pending in sending:
        pending.cut()


def test_what_sends_no_body_is_not_counted(client: InProcess) -> None:
    """Opening, asking and cancelling go on while the client sends as much as it may."""
    sending = busy(client, ONE)

    opened = client.request("POST", UPLOADS, ONE)
    assert opened.status == 202
    assert client.request("GET", opened.location, ONE).status == 204
    assert client.request("DELETE", opened.location, ONE).status == 204
    for pending in sending:
        pending.cut()


def test_others_are_not_kept_waiting(client: InProcess) -> None:
    """The limit is one client's own: another address may push."""
    with ExitStack() as stack:
        for pending in busy(client, ONE):
            stack.callback(pending.cut)
        blob = random_blob()
        answer = client.request(
            "POST", with_digest(UPLOADS, blob.digest), ANOTHER, body=blob.payload
        )
        assert answer.status == 201, answer


def test_an_end_makes_room(client: InProcess) -> None:
    """However an upload ends, finished, cut or refused, the next may begin."""
    blob = random_blob()
    first, second = busy(client, ONE)
    assert first.finish().status == 202
    second.cut()

    target = with_digest(UPLOADS, blob.digest)
    for _ in range(LIMIT + 1):
        assert client.request("POST", target, ONE, body=b"something else").status == 400
    assert client.request("POST", target, ONE, body=blob.payload).status == 201
