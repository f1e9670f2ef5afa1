# SPDX-License-Identifier: Apache-2.0
"""The ping of a registry that has passwords (end-1), and that everything else asks for them too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bcrypt
import pytest

from tests.conformance.conftest import program
from tests.conformance.verbs import Repository, assert_error
from tests.support.images import digest_of, random_blob, random_image
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire, basic_auth

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD = "ada", "pass:word with spaces"
ABSENT = digest_of(b"never pushed")

# (method, path): all of them need to know who asks.
GUARDED = [
    ("GET", "/v2/"),
    ("GET", "/v2/_catalog"),
    ("GET", "/v2/a/tags/list"),
    ("GET", "/v2/a/manifests/v1"),
    ("GET", "/v2/a/manifests/.INVALID"),
    ("PUT", "/v2/a/manifests/v1"),
    ("DELETE", "/v2/a/manifests/v1"),
    ("GET", f"/v2/a/blobs/{ABSENT}"),
    ("DELETE", f"/v2/a/blobs/{ABSENT}"),
    ("GET", f"/v2/a/referrers/{ABSENT}"),
    ("POST", "/v2/a/blobs/uploads/"),
    ("POST", f"/v2/a/blobs/uploads/?mount={ABSENT}&from=b"),
    ("GET", "/v2/a/blobs/uploads/unknown"),
    ("PATCH", "/v2/a/blobs/uploads/unknown"),
    ("PUT", f"/v2/a/blobs/uploads/unknown?digest={ABSENT}"),
    ("DELETE", "/v2/a/blobs/uploads/unknown"),
]

STRANGERS = {
    "nobody": [],
    "wrong password": [basic_auth(USER, "wrong")],
    "wrong name": [basic_auth("eve", PASSWORD)],
    "empty name": [("Authorization", "Basic Og==")],
    "no base64": [("Authorization", "Basic ***")],
    "no colon": [("Authorization", "Basic YWRh")],
    "another scheme": [("Authorization", "Bearer token")],
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that knows one user."""
    folder = tmp_path_factory.mktemp("guarded")
    users = tmp_path_factory.mktemp("users") / "htpasswd"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    config = {"auth": {"htpasswd": {"realm": "the registry", "path": str(users)}}}
    with RunningRegistry(folder, config, program=program()) as running:
        yield running


@pytest.mark.parametrize("who", STRANGERS)
def test_strangers(guarded: RunningRegistry, who: str) -> None:
    """Every address answers a stranger alike: 401, one challenge, the version header."""
    with Wire(f"http://{guarded.host}") as wire:
        for method, path in GUARDED:
            body = b"" if method in {"PUT", "POST", "PATCH"} else None
            answer = wire.request(method, path, body=body, headers=STRANGERS[who])
            assert_error(answer, 401, "UNAUTHORIZED")
            (challenge,) = answer.headers.get_all("WWW-Authenticate")
            assert challenge.startswith('Basic realm="the registry"'), challenge
            assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize("size", [100, 5_000_000])
def test_stranger_with_a_body(guarded: RunningRegistry, size: int) -> None:
    """A stranger who sends a blob at once can read the refusal and use the connection again."""
    blob = random_blob(size)
    target = f"/v2/a/blobs/uploads/?digest={blob.digest}"
    with Wire(f"http://{guarded.host}") as wire:
        for chunked in (False, True):
            answer = wire.request("POST", target, body=blob.payload, chunked=chunked)
            assert_error(answer, 401, "UNAUTHORIZED")
            assert wire.head("/v2/").status == 401


def test_known(guarded: RunningRegistry, name: str) -> None:
    """The user pushes and pulls; the password may contain a colon."""
    with Wire(f"http://{guarded.host}", [basic_auth(USER, PASSWORD)]) as wire:
        assert wire.get("/v2/").status == 200
        assert wire.head("/v2/").status == 200
        repository = Repository(wire, name)
        image = random_image()
        repository.push_image(image, "v1")
        assert repository.get_manifest("v1").body == image.manifest.payload
        assert wire.delete(repository.open()).status == 204


def test_preflight(guarded: RunningRegistry) -> None:
    """A browser's preflight is never asked for credentials."""
    with Wire(f"http://{guarded.host}") as wire:
        assert wire.request("OPTIONS", "/v2/a/tags/list").status != 401
