# SPDX-License-Identifier: Apache-2.0
"""Who is this, may they, and how they are refused."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from moorage.access.principals import ANONYMOUS, Principal
from moorage.access.scopes import Action, Scope
from moorage.access.service import AccessService, AnonymousAccess
from moorage.access.tokens import TOKEN_SECONDS
from moorage.spec.errors import Denied, OCIError, Unauthorized
from moorage.spec.names import parse_repository
from tests.access.people import BASE_URL, KEY, Clock, basic, entry, service_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPOSITORY = parse_repository("a/b")
ALICE = Principal("alice", "user")
BASIC = 'Basic realm="Registry"'
BEARER = f'Bearer realm="{BASE_URL}/token",service="moorage"'


def authenticate(
    service: AccessService, authorization: str | None, scope: str | None = None
) -> Principal:
    """Ask the service who this is."""
    return asyncio.run(service.authenticate(authorization, base_url=BASE_URL, scope=scope))


def challenge_of(error: OCIError) -> str:
    """The one challenge of a refusal."""
    (value,) = [value for name, value in error.headers if name == "WWW-Authenticate"]
    return value


@contextlib.contextmanager
def running(
    path: Path, anonymous: AnonymousAccess, clock: Clock | None = None
) -> Iterator[AccessService]:
    """A service for alice, ended afterwards."""
    path.write_text(entry("alice", "secret"))
    service = service_with(path, anonymous=anonymous, clock=clock)
    yield service
    service.close()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[AccessService]:
    """Only alice may enter."""
    with running(tmp_path / "htpasswd", "none") as service:
        yield service


@pytest.fixture
def public(tmp_path: Path) -> Iterator[AccessService]:
    """Everybody may pull, alice may do everything."""
    with running(tmp_path / "htpasswd", "pull") as service:
        yield service


# -- without authentication ----------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "", "Basic x", "Bearer y", basic("a", "b"), "??"])
def test_an_open_registry_lets_everybody_do_everything(authorization: str | None) -> None:
    """Without authentication credentials do not matter, not even malformed ones."""
    service = AccessService()
    principal = authenticate(service, authorization)

    assert principal == ANONYMOUS
    assert not service.required
    assert not service.issues_tokens
    assert service.may_ping(principal)
    for action in ("pull", "push", "delete"):
        assert service.allows(principal, action, REPOSITORY)
    assert service.allows(principal, "catalog", None)


# -- users only ----------------------------------------------------------------


def test_users_may_do_everything_and_others_nothing(closed: AccessService) -> None:
    """With an htpasswd file only its users may enter."""
    alice, nobody = authenticate(closed, basic("alice", "secret")), authenticate(closed, None)

    assert (alice, nobody) == (ALICE, ANONYMOUS)
    assert closed.required
    assert (closed.may_ping(alice), closed.may_ping(nobody)) == (True, False)
    for action in ("pull", "push", "delete"):
        assert closed.allows(alice, action, REPOSITORY)
        assert not closed.allows(nobody, action, REPOSITORY)
    assert closed.allows(alice, "catalog", None)
    assert not closed.allows(nobody, "catalog", None)
    assert (closed.sees(alice, REPOSITORY), closed.sees(nobody, REPOSITORY)) == (True, False)


@pytest.mark.parametrize("authorization", ["basic", "BASIC", "Basic "])
def test_the_scheme_is_read_in_any_case(closed: AccessService, authorization: str) -> None:
    """Clients may write the scheme as they like, and more than one space after it."""
    header = basic("alice", "secret").replace("Basic", authorization)

    assert authenticate(closed, header) == ALICE


def test_podman_without_credentials_is_anonymous(closed: AccessService) -> None:
    """An empty name with an empty password is nobody, not a failed log-in."""
    assert authenticate(closed, "Basic Og==") == ANONYMOUS


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (basic("alice", "wrong"), "name or the password is wrong"),
        (basic("carol", "secret"), "name or the password is wrong"),
        (basic("", "secret"), "name or the password is wrong"),
        (basic("alice", ""), "name or the password is wrong"),
        ("Basic", "no ':'"),
        ("Basic ###", "base64"),
        ("Bearer mt1.abc.def", "use Basic"),
        ("Negotiate abc", "use Basic"),
        ("x" * 5000, "use Basic"),
    ],
)
def test_wrong_credentials_are_refused(
    closed: AccessService, authorization: str, message: str
) -> None:
    """Wrong, malformed and unknown credentials are a 401 with the Basic challenge and a reason."""
    with pytest.raises(Unauthorized, match=message) as caught:
        authenticate(closed, authorization)

    assert challenge_of(caught.value) == BASIC
    assert len(caught.value.message) < 400


def test_missing_users_get_the_same_answer(closed: AccessService) -> None:
    """Nothing in the refusal tells a missing user from a wrong password."""
    answers = []
    for user in ("alice", "carol"):
        with pytest.raises(Unauthorized) as caught:
            authenticate(closed, basic(user, "wrong"))
        answers.append((caught.value.items(), caught.value.headers))

    assert answers[0] == answers[1]


def test_a_closed_registry_challenges_with_basic(closed: AccessService) -> None:
    """Where nobody is let in anonymously the challenge is that of registry:2."""
    assert not closed.issues_tokens
    assert closed.challenge(BASE_URL, "repository:a/b:pull", "invalid_token") == BASIC


# -- everybody pulls, the known push -------------------------------------------


def test_everybody_pulls_where_that_is_set(public: AccessService) -> None:
    """An anonymous token grants pull and the catalog, and nothing that changes anything."""
    asked = [
        Scope("repository", "a/b", ("pull", "push", "delete")),
        Scope("registry", "catalog", ("catalog",)),
    ]
    token, _ = public.issue_token(ANONYMOUS, asked)
    nobody = authenticate(public, f"Bearer {token}")

    assert public.allows(nobody, "pull", REPOSITORY)
    assert public.allows(nobody, "catalog", None)
    assert public.sees(nobody, REPOSITORY)
    assert not public.allows(nobody, "push", REPOSITORY)
    assert not public.allows(nobody, "delete", REPOSITORY)


@pytest.mark.parametrize("authorization", [None, "", "Basic Og=="])
def test_nobody_pulls_without_a_token(public: AccessService, authorization: str | None) -> None:
    """A client must meet the challenge on its first request, or it never logs in to push."""
    nobody = authenticate(public, authorization)

    assert nobody == ANONYMOUS
    assert not public.allows(nobody, "pull", REPOSITORY)
    assert not public.allows(nobody, "catalog", None)
    assert not public.sees(nobody, REPOSITORY)


def test_basic_without_a_token_is_enough(public: AccessService) -> None:
    """A user may send name and password with each request and needs no token."""
    alice = authenticate(public, basic("alice", "secret"))

    assert alice == ALICE
    assert public.allows(alice, "push", REPOSITORY)


def test_the_ping_still_asks_for_credentials(public: AccessService) -> None:
    """Docker, podman and crane take the challenge from the ping alone, so it has to come."""
    assert not public.may_ping(authenticate(public, None))
    assert not public.may_ping(authenticate(public, "Basic Og=="))
    assert public.may_ping(authenticate(public, basic("alice", "secret")))

    refusal = public.refusal(ANONYMOUS, "ping", None, base_url=BASE_URL)
    assert isinstance(refusal, Unauthorized)
    assert challenge_of(refusal) == BEARER


def test_basic_still_works_on_the_request_itself(public: AccessService) -> None:
    """Simple clients send Basic without asking, and are users with all their rights."""
    alice = authenticate(public, basic("alice", "secret"))

    assert alice == ALICE
    assert public.allows(alice, "push", REPOSITORY)


def test_wrong_basic_credentials_are_not_anonymous(public: AccessService) -> None:
    """Who could pull without credentials is refused with wrong ones."""
    with pytest.raises(Unauthorized) as caught:
        authenticate(public, basic("alice", "wrong"), "repository:a/b:pull")

    assert challenge_of(caught.value) == BEARER + ',scope="repository:a/b:pull"'


def test_tokens_narrow_what_a_user_may(public: AccessService) -> None:
    """A user's token grants what was asked for, and nothing more."""
    token, _ = public.issue_token(ALICE, [Scope("repository", "a/b", ("pull",))])
    alice = authenticate(public, f"Bearer {token}")

    assert alice.name == "alice"
    assert public.may_ping(alice)
    assert public.allows(alice, "pull", REPOSITORY)
    assert not public.allows(alice, "push", REPOSITORY)
    assert not public.allows(alice, "pull", parse_repository("a/c"))
    assert not public.allows(alice, "catalog", None)


def test_anonymous_tokens_grant_what_the_policy_allows(public: AccessService) -> None:
    """Asked for everything, an anonymous token grants pull and the catalog."""
    asked = [
        Scope("repository", "a/b", ("pull", "push", "delete")),
        Scope("repository", "a/c", ("push",)),
        Scope("registry", "catalog", ("catalog",)),
    ]
    token, claims = public.issue_token(ANONYMOUS, asked)
    nobody = authenticate(public, f"Bearer {token}")

    assert claims.scopes == (
        ("repository", "a/b", ("pull",)),
        ("registry", "catalog", ("catalog",)),
    )
    assert public.may_ping(nobody)
    assert public.allows(nobody, "pull", REPOSITORY)
    assert not public.allows(nobody, "push", REPOSITORY)
    assert public.allows(nobody, "catalog", None)


def test_the_catalog_shows_what_the_owner_of_the_token_could_pull(public: AccessService) -> None:
    """A token for the catalog alone lists repositories that it could not pull from."""
    token, _ = public.issue_token(ANONYMOUS, [Scope("registry", "catalog", ("catalog",))])
    nobody = authenticate(public, f"Bearer {token}")

    assert public.sees(nobody, REPOSITORY)
    assert not public.allows(nobody, "pull", REPOSITORY)


def test_tokens_without_scopes_may_ping(public: AccessService) -> None:
    """The token of docker's log-in has no scope; it pings and does nothing else."""
    token, _ = public.issue_token(ALICE, [])
    alice = authenticate(public, f"bearer {token}")

    assert public.may_ping(alice)
    assert not public.allows(alice, "pull", REPOSITORY)


@pytest.mark.parametrize("token", ["", "QQ==", "mt1.", "mt1.YQ.YQ", "mt1.a.b.c", "\u00e9"])
def test_bad_tokens_are_refused(public: AccessService, token: str) -> None:
    """A token that is none is a 401 that says invalid_token and what the request needs."""
    with pytest.raises(Unauthorized) as caught:
        authenticate(public, f"Bearer {token}", "repository:a/b:pull")

    expected = BEARER + ',scope="repository:a/b:pull",error="invalid_token"'
    assert challenge_of(caught.value) == expected


def test_tokens_end_with_their_time(tmp_path: Path) -> None:
    """An expired token is refused."""
    clock = Clock()
    with running(tmp_path / "htpasswd", "pull", clock) as service:
        token, _ = service.issue_token(ALICE, [])
        clock.pass_by(TOKEN_SECONDS)

        with pytest.raises(Unauthorized, match="expired"):
            authenticate(service, f"Bearer {token}")


@pytest.mark.parametrize("content", ["", entry("alice", "new")], ids=["removed", "changed"])
def test_tokens_end_with_the_password(tmp_path: Path, content: str) -> None:
    """The tokens of a user who was removed or has a new password are refused at once."""
    clock = Clock()
    path = tmp_path / "htpasswd"
    with running(path, "pull", clock) as service:
        token, _ = service.issue_token(ALICE, [])
        assert authenticate(service, f"Bearer {token}").name == "alice"

        path.write_text(content)
        clock.pass_by(1)

        with pytest.raises(Unauthorized):
            authenticate(service, f"Bearer {token}")


# -- refusals ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "scope", "actions"),
    [
        ("pull", "repository:a/b:pull", ["pull"]),
        ("push", "repository:a/b:pull,push", ["pull", "push"]),
        ("delete", "repository:a/b:pull,delete", ["pull", "delete"]),
    ],
)
def test_anonymous_refusals_name_the_scope(
    public: AccessService, action: Action, scope: str, actions: list[str]
) -> None:
    """Whoever lacks credentials learns from the challenge which token to ask for."""
    refusal = public.refusal(ANONYMOUS, action, REPOSITORY, base_url=BASE_URL)

    assert refusal.status == 401
    assert challenge_of(refusal) == f'{BEARER},scope="{scope}"'
    expected = [{"Type": "repository", "Name": "a/b", "Action": action} for action in actions]
    assert refusal.detail == expected
    advice = f"{BASE_URL}/token" if action == "pull" else "Log in"
    assert advice in refusal.message


def test_refusals_of_the_catalog(public: AccessService) -> None:
    """The catalog's scope is the one that all clients know."""
    refusal = public.refusal(Principal("alice", "user", ()), "catalog", None, base_url=BASE_URL)

    expected = f'{BEARER},scope="registry:catalog:*",error="insufficient_scope"'
    assert challenge_of(refusal) == expected
    assert refusal.detail == [{"Type": "registry", "Name": "catalog", "Action": "*"}]


@pytest.mark.parametrize("kind", ["user", "anonymous"])
def test_a_token_that_grants_too_little_may_be_exchanged(public: AccessService, kind: str) -> None:
    """The challenge then says insufficient_scope; only podman asks again because of it."""
    holder = Principal("x", kind, ())  # type: ignore[arg-type]
    refusal = public.refusal(holder, "push", REPOSITORY, base_url=BASE_URL)

    assert refusal.status == 401
    assert challenge_of(refusal).endswith(',error="insufficient_scope"')


def test_a_user_who_may_not_is_denied(closed: AccessService) -> None:
    """Where no other credentials would help the answer is 403."""
    refusal = closed.refusal(ALICE, "push", REPOSITORY, base_url=BASE_URL)

    assert isinstance(refusal, Denied)


def test_a_base_url_with_a_path_keeps_it(public: AccessService) -> None:
    """Behind `http.prefix` the token endpoint is below the prefix too, and quotes stay inside."""
    assert public.challenge("https://a.example/registry/").startswith(
        'Bearer realm="https://a.example/registry/token",'
    )
    assert public.challenge('https://a"b').startswith('Bearer realm="https://a\\"b/token"')


# -- how it is put together ----------------------------------------------------


def test_anonymous_pull_needs_a_key(tmp_path: Path) -> None:
    """A service that could not sign tokens is refused when it is made, not when docker pulls."""
    path = tmp_path / "htpasswd"
    path.write_text(entry("alice", "secret"))

    with pytest.raises(ValueError, match="signer"):
        AccessService.with_htpasswd(path, anonymous="pull")
    service = AccessService.with_htpasswd(path, anonymous="pull", token_key=KEY)
    assert service.issues_tokens
    service.close()


@pytest.mark.parametrize("realm", ["a\r\nb", "Stra\u00dfe"])
def test_realms_fit_into_a_header(realm: str) -> None:
    """A realm that would break the header is refused at the start."""
    with pytest.raises(ValueError, match="realm"):
        AccessService(realm=realm)


def test_quotes_in_the_realm_are_escaped() -> None:
    """A realm cannot add parameters to the challenge."""
    assert AccessService(realm='a"b').challenge(BASE_URL) == 'Basic realm="a\\"b"'
