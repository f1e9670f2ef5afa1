# SPDX-License-Identifier: Apache-2.0
"""Traversal, percent and Unicode tricks in names, digests, tags and session ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.victim import assert_civil
from tests.support.images import digest_of, random_blob
from tests.support.raw import request_bytes

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository
    from tests.hostile.victim import Victim

SECRET = b"root:x:0:0"

# Put where a name, a reference or a session id belongs, as it stands on the wire.
TRICKS = [
    "../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "..%252f..%252fetc%252fpasswd",
    "..%5c..%5cetc%5cpasswd",
    "..\\..\\etc\\passwd",
    "....//....//etc/passwd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    ".",
    "..",
    "%2e",
    "%00",
    "a%00b",
    "sha256%00",
    "%0d%0aX-Injected:%20yes",
    "%0a",
    "%",
    "%%",
    "%zz",
    "%u002e",
    "%c0%ae%c0%ae/%c0%af",
    "%ff%fe",
    "%ed%a0%80",
    "%f0%9f%98%80",
    "\xe4\xf6\xfc",
    "%E2%80%AE",
    "%EF%BC%8E%EF%BC%8E%EF%BC%8F",
    "a%CC%81",
    "~root",
    "$HOME",
    "`id`",
    "$(id)",
    "';DROP TABLE manifests;--",
    "%27%20OR%20%271%27=%271",
    "*",
    "?",
    "#",
    ";a=b",
    "a;b",
    "{name}",
    "%7Bname%7D",
    "con",
    "a" * 300,
    "a/" * 300,
    "sha256:" + "a" * 300,
    "sha256:" + "/" * 64,
    "sha256:../../../../../../../etc/passwd",
    "sha256:" + "%2e%2e%2f" * 21 + "a",
    "sha256:" + "\uff41".encode().decode("latin-1") * 21 + "a",
    "sha256:" + "A" * 64,
    "sha256:-" + "a" * 63,
    "sha256:" + "0" * 63 + "%0a",
    "SHA256:" + "a" * 64,
    "sha256+b64:" + "a" * 64,
    ":" + "a" * 64,
    "::",
    "00000000-0000-0000-0000-000000000000",
    "-1",
    "0",
    "null",
    "_catalog",
]

PLACES = [
    ("GET", "/v2/{trick}/manifests/latest"),
    ("GET", "/v2/{trick}/tags/list"),
    ("PUT", "/v2/{trick}/manifests/latest"),
    ("POST", "/v2/{trick}/blobs/uploads/"),
    ("GET", "/v2/a/blobs/{trick}"),
    ("DELETE", "/v2/a/blobs/{trick}"),
    ("HEAD", "/v2/a/manifests/{trick}"),
    ("GET", "/v2/a/manifests/{trick}"),
    ("PUT", "/v2/a/manifests/{trick}"),
    ("DELETE", "/v2/a/manifests/{trick}"),
    ("GET", "/v2/a/referrers/{trick}"),
    ("GET", "/v2/a/blobs/uploads/{trick}"),
    ("PATCH", "/v2/a/blobs/uploads/{trick}"),
    ("PUT", "/v2/a/blobs/uploads/{trick}?digest=" + digest_of(b"")),
    ("DELETE", "/v2/a/blobs/uploads/{trick}"),
    ("GET", "/{trick}"),
    ("GET", "/v2/{trick}"),
]

QUERIES = [
    ("POST", "/v2/a/blobs/uploads/?digest={trick}"),
    ("POST", "/v2/a/blobs/uploads/?mount={trick}&from={trick}"),
    ("POST", "/v2/a/blobs/uploads/?digest-algorithm={trick}"),
    ("PUT", "/v2/a/manifests/" + digest_of(b"x") + "?tag={trick}"),
    ("GET", "/v2/a/tags/list?n={trick}"),
    ("GET", "/v2/a/tags/list?last={trick}"),
    ("GET", "/v2/_catalog?last={trick}&n={trick}"),
    ("GET", "/v2/a/referrers/" + digest_of(b"x") + "?artifactType={trick}"),
    ("GET", "/v2/?{trick}"),
]


@pytest.mark.parametrize("trick", TRICKS)
def test_trick(victim: Victim, trick: str) -> None:
    """Wherever the trick stands, it is refused or simply not found, and reveals nothing."""
    for method, target in [*PLACES, *QUERIES]:
        length = [("Content-Length", "0")] if method in {"PUT", "POST", "PATCH"} else []
        data = request_bytes(method, target.replace("{trick}", trick), *length)
        answer = victim.send(data, method=method)
        if answer is not None:
            assert SECRET not in answer.body, (method, target)
            assert "X-Injected" not in answer.headers, (method, target)


@pytest.mark.parametrize("trick", ["../x", "..%2fx", "%00", "a%0ab", "%c3%a4", "%ff", "x" * 5000])
def test_session_of_another_shape(repository: Repository, trick: str) -> None:
    """A session id that was never given out leads nowhere, next to one that was."""
    location = repository.open()
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        for target in (
            f"{location}{trick}",
            f"{location}/{trick}",
            f"{repository.uploads}{trick}",
        ):
            body = None if method in {"GET", "DELETE"} else b"bytes"
            answer = repository.wire.request(method, target, body=body)
            assert_civil(answer)
            assert 400 <= answer.status < 500, answer
    assert repository.wire.get(location).status == 204


def test_names_that_collide_on_disk(repository: Repository) -> None:
    """Names that a file system may fold together are different repositories."""
    names = ["a.b", "a-b", "a_b", "a__b", "a--b", "0a", "a0"]
    blobs = {name: random_blob() for name in names}
    for name, blob in blobs.items():
        repository.sibling(name).push_blob(blob)

    for name in names:
        for other, blob in blobs.items():
            status = repository.sibling(name).head_blob(blob).status
            assert status == (200 if name == other else 404)


def test_request_line_garbage(victim: Victim) -> None:
    """What is no request line is a 400 or a closed connection."""
    for line in (
        b"\r\n\r\n\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v2/\r\n\r\n",
        b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1 extra\r\nHost: x\r\n\r\n",
        b"GET  /v2/  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET v2 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT registry:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\xc3\xa4T /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ \r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ):
        answer = victim.send(line, finish=True)
        assert answer is None or answer.status in {400, 404, 405, 505} or line[:3] == b"GET", answer
