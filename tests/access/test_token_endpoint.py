# SPDX-License-Identifier: Apache-2.0
"""The token endpoint, as the clients use it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from moorage.access.scopes import MAX_SCOPES
from moorage.access.token_endpoint import TokenReply, answer_token_request
from moorage.spec.errors import RequestInvalid, Unauthorized, Unsupported
from moorage.spec.names import parse_repository
from tests.access.people import BASE_URL, basic, entry, service_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from moorage.access.principals import Principal
    from moorage.access.service import AccessService

REPOSITORY = parse_repository("a/b")
ALICE = basic("alice", "secret")


@pytest.fixture
def access(tmp_path: Path) -> Iterator[AccessService]:
    """Everybody may pull, alice may do everything."""
    path = tmp_path / "htpasswd"
    path.write_text(entry("alice", "secret"))
    service = service_with(path, anonymous="pull")
    yield service
    service.close()


def ask(
    access: AccessService, query: dict[str, list[str]], authorization: str | None = None
) -> TokenReply:
    """Ask for a token."""
    return asyncio.run(
        answer_token_request(access, method="GET", query=query, authorization=authorization)
    )


def body_of(reply: TokenReply) -> Any:
    """The JSON of a reply."""
    return json.loads(reply.body)


def holder(access: AccessService, reply: TokenReply) -> Principal:
    """Who the token of the reply makes one."""
    header = f"Bearer {body_of(reply)['token']}"
    return asyncio.run(access.authenticate(header, base_url=BASE_URL))


def test_the_reply_has_what_clients_read(access: AccessService) -> None:
    """Both names of the token, its lifetime, when it was issued, and no refresh token."""
    reply = ask(access, {"offline_token": ["true"], "client_id": ["docker"]}, ALICE)
    body = body_of(reply)

    assert reply.status == 200
    assert dict(reply.headers)["Content-Type"] == "application/json"
    assert dict(reply.headers)["Cache-Control"] == "no-store"
    assert sorted(body) == ["access_token", "expires_in", "issued_at", "token"]
    assert body["token"] == body["access_token"]
    assert body["expires_in"] == 300
    assert body["issued_at"] == "2023-11-14T22:13:20Z"


def test_docker_logs_in_without_a_scope(access: AccessService) -> None:
    """The token of a log-in pings."""
    query = {"account": ["alice"], "client_id": ["docker"], "service": ["moorage"]}

    assert access.may_ping(holder(access, ask(access, query, ALICE)))


def test_a_user_gets_what_was_asked_for(access: AccessService) -> None:
    """Repeated and spaced scopes count alike, as for a push that mounts from elsewhere."""
    query = {"scope": ["repository:a/b:push,pull", "repository:c:pull repository:d:delete"]}
    alice = holder(access, ask(access, query, ALICE))

    assert access.allows(alice, "push", REPOSITORY)
    assert access.allows(alice, "pull", parse_repository("c"))
    assert access.allows(alice, "delete", parse_repository("d"))
    assert not access.allows(alice, "push", parse_repository("c"))


@pytest.mark.parametrize("authorization", [None, "", "Basic Og=="])
def test_without_credentials_there_is_pull(
    access: AccessService, authorization: str | None
) -> None:
    """An anonymous token grants pull, however much was asked for; podman's empty Basic too."""
    query = {"scope": ["repository:a/b:push,pull"]}
    nobody = holder(access, ask(access, query, authorization))

    assert nobody.kind == "anonymous"
    assert access.allows(nobody, "pull", REPOSITORY)
    assert not access.allows(nobody, "push", REPOSITORY)


def test_forbidden_and_unknown_scopes_are_no_error(access: AccessService) -> None:
    """The token is then worth less, and the reply is 200."""
    query = {"scope": ["warehouse:x:y", "repository:a/b:push", "nonsense"]}

    assert holder(access, ask(access, query)).scopes == ()


@pytest.mark.parametrize(
    "authorization",
    [
        basic("alice", "wrong"),
        basic("carol", "secret"),
        basic("alice", ""),
        "Basic ###",
        "Bearer x",
        "Negotiate x",
    ],
)
def test_wrong_credentials_get_no_token(access: AccessService, authorization: str) -> None:
    """Wrong credentials are a 401 with a Basic challenge, never an anonymous token."""
    with pytest.raises(Unauthorized) as caught:
        ask(access, {"scope": ["repository:a/b:pull"]}, authorization)

    assert caught.value.headers == (("WWW-Authenticate", 'Basic realm="Registry"'),)


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE"])
def test_other_methods_are_refused(access: AccessService, method: str) -> None:
    """Containerd and oras fall back to GET on a 405."""
    with pytest.raises(Unsupported) as caught:
        asyncio.run(answer_token_request(access, method=method, query={}, authorization=ALICE))

    assert caught.value.status == 405
    assert caught.value.headers == (("Allow", "GET"),)


def test_other_services_are_refused(access: AccessService) -> None:
    """A token for somebody else is a misconfigured client."""
    with pytest.raises(RequestInvalid, match="'moorage'"):
        ask(access, {"service": ["registry.example"]}, ALICE)


def test_the_number_of_scopes_is_bounded(access: AccessService) -> None:
    """Too many scopes, or too long ones, are refused with advice."""
    many = [f"repository:r{n}:pull" for n in range(MAX_SCOPES + 1)]
    long = [f"repository:{n:0255}:pull" for n in range(MAX_SCOPES)]

    assert ask(access, {"scope": many[:-1]}).status == 200
    for scopes in (many, long):
        with pytest.raises(RequestInvalid, match=f"at most {MAX_SCOPES}"):
            ask(access, {"scope": scopes})
