# SPDX-License-Identifier: Apache-2.0
"""A registry that everybody may read: strangers ask for a token first, as at Docker Hub.

A read that were answered without one would let a client go on without logging in, until it meets
the challenge in the middle of a push.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import bcrypt
import pytest

from tests.conformance.conftest import program
from tests.conformance.verbs import Repository, assert_error
from tests.support.images import Image, digest_of, random_image
from tests.support.registry import MOORAGE, RunningRegistry
from tests.support.wire import Answer, Wire, basic_auth

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD = "ada", "password"


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that everybody may read and one user may write."""
    if program() != MOORAGE:
        pytest.skip("auth.anonymous is Moorage's own")
    users = tmp_path_factory.mktemp("users") / "htpasswd"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    config = {"auth": {"htpasswd": {"path": str(users)}, "anonymous": "pull"}}
    with RunningRegistry(tmp_path_factory.mktemp("readable"), config) as running:
        yield running


@pytest.fixture
def image(readable: RunningRegistry, name: str) -> Image:
    """An image that the user has pushed as v1, with name and password on each request."""
    pushed = random_image()
    with Wire(f"http://{readable.host}", [basic_auth(USER, PASSWORD)]) as wire:
        Repository(wire, name).push_image(pushed, "v1")
    return pushed


def challenge_of(answer: Answer) -> dict[str, str]:
    """The parameters of the one Bearer challenge."""
    (challenge,) = answer.headers.get_all("WWW-Authenticate")
    assert challenge.startswith("Bearer "), challenge
    return dict(re.findall(r'(\w+)="([^"]*)"', challenge))


def token_for(wire: Wire, challenge: dict[str, str]) -> tuple[str, str]:
    """What a client does with a challenge: the header that comes of it."""
    query = urlencode([(key, challenge[key]) for key in ("service", "scope") if key in challenge])
    answer = wire.get(f"/token?{query}")
    assert answer.status == 200, answer
    return ("Authorization", f"Bearer {json.loads(answer.body)['token']}")


@pytest.mark.parametrize("nobody", [[], [("Authorization", "Basic Og==")]], ids=["none", "empty"])
def test_reads_are_challenged(
    readable: RunningRegistry, name: str, image: Image, nobody: list[tuple[str, str]]
) -> None:
    """Who sends nothing is told which token to ask for, and with it reads."""
    paths = {
        f"/v2/{name}/manifests/v1": f"repository:{name}:pull",
        f"/v2/{name}/blobs/{image.blobs[0].digest}": f"repository:{name}:pull",
        f"/v2/{name}/tags/list": f"repository:{name}:pull",
        f"/v2/{name}/referrers/{image.manifest.digest}": f"repository:{name}:pull",
        "/v2/_catalog": "registry:catalog:*",
    }
    with Wire(f"http://{readable.host}") as wire:
        for path, scope in paths.items():
            assert wire.head(path, *nobody).status == 401
            refused = wire.get(path, *nobody)
            assert_error(refused, 401, "UNAUTHORIZED")
            challenge = challenge_of(refused)
            assert challenge["realm"] == f"http://{readable.host}/token"
            assert challenge["scope"] == scope
            assert wire.get(path, token_for(wire, challenge)).status == 200


def test_what_is_there_does_not_show(readable: RunningRegistry, name: str, image: Image) -> None:
    """Without a token what is there and what is not look the same."""
    with Wire(f"http://{readable.host}") as wire:
        for digest in (image.manifest.digest, digest_of(b"never pushed")):
            assert_error(wire.get(f"/v2/{name}/manifests/{digest}"), 401, "UNAUTHORIZED")


def test_an_anonymous_token_does_not_write(readable: RunningRegistry, name: str) -> None:
    """The token that a stranger gets for a push is worth only the pull in it."""
    with Wire(f"http://{readable.host}") as wire:
        refused = wire.request("POST", f"/v2/{name}/blobs/uploads/", body=b"")
        token = token_for(wire, challenge_of(refused))
        again = wire.request("POST", f"/v2/{name}/blobs/uploads/", body=b"", headers=[token])

    assert_error(again, 401, "UNAUTHORIZED")
    assert challenge_of(again)["error"] == "insufficient_scope"
