# SPDX-License-Identifier: Apache-2.0
"""Who is this, and may they: the two questions that every request asks, and how to refuse.

First form of the policy: without authentication everybody may do everything; with an htpasswd file
its users may, and others nothing, or pull (with the catalog) where `anonymous` says so. Invariant:
credentials that are present and wrong are an error, never a quiet anonymous.

`anonymous: pull` needs tokens: docker sends no anonymous request after a Basic challenge on the
ping, and sends no credentials at all without a challenge there. So the challenge is then Bearer,
with `token_endpoint` as its realm; Basic on the request itself keeps working. Nobody is let in for
sending nothing, also not to pull: a client that is answered without a challenge does not log in,
and containerd 1.6 then meets its first challenge on the PUT of a manifest, whose body it does not
send again. Docker Hub and GHCR hand strangers tokens for the same reason.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING, Literal

from moorage.access.basic import CredentialsMalformedError, parse_basic, quoted_string
from moorage.access.htpasswd import HtpasswdFile
from moorage.access.principals import ANONYMOUS, Principal
from moorage.access.scopes import REPOSITORY_ACTIONS, Action, Scope, needed_scope
from moorage.access.tokens import (
    MIN_KEY_BYTES,
    TOKEN_SERVICE,
    Claims,
    TokenInvalidError,
    TokenSigner,
)
from moorage.access.verifier import PasswordVerifier
from moorage.observe.logs import get_logger
from moorage.spec.errors import Denied, OCIError, Unauthorized, quoted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from moorage.spec.names import RepositoryName

AnonymousAccess = Literal["none", "pull"]

ChallengeError = Literal["invalid_token", "insufficient_scope"]

TOKEN_PATH = "/token"  # noqa: S105 - a path, no secret

_ANONYMOUS_ACTIONS: dict[AnonymousAccess, frozenset[Action]] = {
    "none": frozenset(),
    "pull": frozenset({"pull", "catalog"}),
}


class AccessService:
    """Turns credentials into principals and answers what they may do."""

    def __init__(
        self,
        verifier: PasswordVerifier | None = None,
        *,
        realm: str = "Registry",
        anonymous: AnonymousAccess = "none",
        signer: TokenSigner | None = None,
    ) -> None:
        """Make a service; without a verifier the registry is open to all."""
        if not (realm.isascii() and realm.isprintable()):
            raise ValueError(f"the realm {quoted(realm)} has characters that no header may hold")
        if verifier is not None and anonymous == "pull" and signer is None:
            raise ValueError("anonymous pull needs a token signer")
        self._load_key: Callable[[], Awaitable[bytes]] | None = None
        self._verifier = verifier
        self._realm = realm
        self._anonymous_actions = _ANONYMOUS_ACTIONS[anonymous]
        # Where nobody is let in anonymously, Basic does for all clients, as in `registry:2`.
        self._signer = signer if verifier is not None and anonymous == "pull" else None

    @classmethod
    def with_htpasswd(
        cls,
        path: Path,
        *,
        realm: str = "Registry",
        anonymous: AnonymousAccess = "none",
        token_key: bytes | Callable[[], Awaitable[bytes]] | None = None,
    ) -> AccessService:
        """Let the users of the file in.

        `token_key` is needed where `anonymous` is "pull": the key, or how `start` gets it.
        """
        log = get_logger("moorage.access")
        load_key = token_key if callable(token_key) else None
        # Until `start` has the shared key, tokens are signed with one that nobody else has.
        key = token_bytes(MIN_KEY_BYTES) if callable(token_key) else token_key
        signer = TokenSigner(key) if key is not None else None
        verifier = PasswordVerifier(HtpasswdFile(path, log=log), log=log)
        service = cls(verifier, realm=realm, anonymous=anonymous, signer=signer)
        service._load_key = load_key
        return service

    async def start(self) -> None:
        """Get the key that all replicas share, now that there is a database to ask."""
        if self._load_key is not None and self._signer is not None:
            self._signer = TokenSigner(await self._load_key())

    def close(self) -> None:
        """End the threads that verify passwords."""
        if self._verifier is not None:
            self._verifier.close()

    @property
    def required(self) -> bool:
        """Whether there is any authentication."""
        return self._verifier is not None

    @property
    def issues_tokens(self) -> bool:
        """Whether the token endpoint is to be served."""
        return self._signer is not None

    # -- who is this -----------------------------------------------------------

    async def authenticate(
        self, authorization: str | None, *, base_url: str, scope: str | None = None
    ) -> Principal:
        """The principal of an Authorization header.

        `base_url` and `scope` are for the challenge: what the client calls this registry, and what
        its request needs. Raises Unauthorized where credentials are present and wrong, and
        TooManyRequests or Unavailable where they cannot be verified now.
        """
        if self._verifier is None or not authorization:
            return ANONYMOUS
        kind, _, credentials = authorization.strip().partition(" ")
        match kind.lower():
            case "basic":
                try:
                    return await self.log_in(credentials.strip())
                except Unauthorized as refusal:
                    challenge = self.challenge(base_url, scope)
                    raise refusal.with_headers(("WWW-Authenticate", challenge)) from None
            case "bearer" if self._signer is not None:
                try:
                    return self._bearer(self._signer, credentials.strip())
                except TokenInvalidError:
                    raise self._unauthorized(
                        "The token is not valid or has expired; log in again.",
                        self.challenge(base_url, scope, "invalid_token"),
                    ) from None
            case _:
                accepted = "Basic or Bearer" if self._signer else "Basic"
                raise self._unauthorized(
                    f"Authorization of the kind {quoted(kind)} is not accepted; use {accepted}.",
                    self.challenge(base_url, scope),
                )

    async def log_in(self, encoded: str) -> Principal:
        """The user of Basic credentials; Unauthorized, without a challenge, where they are wrong.

        "podman sends `Basic Og==` (empty:empty) for anonymous".
        """
        if self._verifier is None:
            return ANONYMOUS
        try:
            user, password = parse_basic(encoded)
        except CredentialsMalformedError as malformed:
            raise Unauthorized(str(malformed)) from None
        if not user and not password:
            return ANONYMOUS
        if not await self._verifier.verify(user, password):
            raise Unauthorized("The user name or the password is wrong; log in again.")
        return Principal(user, "user")

    def _bearer(self, signer: TokenSigner, token: str) -> Principal:
        claims = signer.read(token)
        if claims.kind == "user" and claims.stamp != self._stamp(signer, claims.name):
            # The user was removed or has a new password since.
            raise TokenInvalidError
        return claims.principal()

    def _stamp(self, signer: TokenSigner, user: str) -> str | None:
        stored = self._verifier.stored(user) if self._verifier is not None else None
        return signer.stamp(user, stored.text) if stored is not None else None

    # -- may they --------------------------------------------------------------

    def allows(
        self, principal: Principal, action: Action, repository: RepositoryName | None
    ) -> bool:
        """Whether the principal may do this to the repository (None: to the registry)."""
        if not (self._is_admitted(principal) and self._policy_allows(principal, action)):
            return False
        scopes = principal.scopes
        return scopes is None or any(scope.covers(action, repository) for scope in scopes)

    def sees(self, principal: Principal, repository: RepositoryName) -> bool:
        """Whether a listing shows the principal this repository, whatever its token is narrowed to.

        The token of `crane catalog` grants the catalog and no repository; what the catalog then
        holds is everything that its owner could pull.
        """
        return self._is_admitted(principal) and self._policy_allows(principal, "pull")

    def may_ping(self, principal: Principal) -> bool:
        """Whether `GET /v2/` answers 200: "with a valid token lacking any scope → 200".

        Without credentials it is 401 also where everybody may pull: clients take the challenge
        from here alone, and docker would call every password right.
        """
        return self._is_admitted(principal)

    def _is_admitted(self, principal: Principal) -> bool:
        """Whether somebody has asked to come in: with a password, or for an anonymous token."""
        return not self.required or principal.kind == "user" or principal.scopes is not None

    def _policy_allows(self, principal: Principal, action: Action) -> bool:
        return not self.required or principal.kind == "user" or action in self._anonymous_actions

    # -- how to refuse ---------------------------------------------------------

    @property
    def basic_challenge(self) -> str:
        """The challenge of the token endpoint, and of the registry that issues no tokens."""
        return f"Basic realm={quoted_string(self._realm)}"

    def challenge(
        self, base_url: str, scope: str | None = None, error: ChallengeError | None = None
    ) -> str:
        """The value of WWW-Authenticate: exactly one challenge, for oras reads only the first."""
        if self._signer is None:
            return self.basic_challenge
        realm = quoted_string(base_url.rstrip("/") + TOKEN_PATH)
        parts = [f"Bearer realm={realm}", f"service={quoted_string(TOKEN_SERVICE)}"]
        if scope is not None:
            parts.append(f"scope={quoted_string(scope)}")
        if error is not None:
            parts.append(f"error={quoted_string(error)}")
        return ",".join(parts)

    def refusal(
        self,
        principal: Principal,
        action: Action | Literal["ping"],
        repository: RepositoryName | None,
        *,
        base_url: str,
    ) -> OCIError:
        """The error for an action that is not allowed: 401 where other credentials could help."""
        if action == "ping":
            return self._unauthorized("Log in to use this registry.", self.challenge(base_url))
        needed = needed_scope(action, repository)
        detail = _detail(needed)
        if principal.kind == "user" and principal.scopes is None:
            return Denied(detail=detail)
        what = f"the repository {repository}" if repository is not None else "the catalog"
        if principal.kind == "user":
            message = f"The token does not grant {action} on {what}; ask for one that does."
        elif principal.scopes is None and self._policy_allows(principal, action):
            message = (
                f"Ask {base_url.rstrip('/')}{TOKEN_PATH} for a token to {_verb(action)} {what}; "
                "no password is needed."
            )
        else:
            message = f"Log in to {_verb(action)} {what}."
        error: ChallengeError | None = None if principal.scopes is None else "insufficient_scope"
        return self._unauthorized(message, self.challenge(base_url, str(needed), error), detail)

    def _unauthorized(self, message: str, challenge: str, detail: object = None) -> Unauthorized:
        return Unauthorized(message, detail=detail, headers=[("WWW-Authenticate", challenge)])

    # -- tokens ----------------------------------------------------------------

    def issue_token(self, principal: Principal, requested: Sequence[Scope]) -> tuple[str, Claims]:
        """A token that grants what was asked for as far as the policy allows it.

        Raises TokenTooLongError; ValueError where this registry issues no tokens.
        """
        if self._signer is None:
            raise ValueError("this registry issues no tokens")
        granted: list[Scope] = []
        for scope in requested:
            actions = tuple(a for a in scope.actions if self._policy_allows(principal, a))
            if actions:
                granted.append(Scope(scope.kind, scope.name, actions))
        stamp = self._stamp(self._signer, principal.name) if principal.kind == "user" else None
        return self._signer.issue(principal, tuple(granted), stamp=stamp or "")


def _verb(action: Action) -> str:
    return {"pull": "pull from", "push": "push to", "delete": "delete from", "catalog": "read"}[
        action
    ]


def _detail(needed: Scope) -> list[dict[str, str]]:
    """What was asked for, in the form in which docker and others expect it under a 401."""
    names: tuple[str, ...] = needed.actions if needed.kind == "repository" else ("*",)
    ordered = [name for name in (*REPOSITORY_ACTIONS, "*") if name in names]
    return [{"Type": needed.kind, "Name": needed.name, "Action": name} for name in ordered]
