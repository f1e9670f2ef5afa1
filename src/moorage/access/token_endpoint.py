# SPDX-License-Identifier: Apache-2.0
"""`GET /token`: credentials in, a short-lived token out. The realm of every Bearer challenge.

A plain function from request to reply; mounting it is the work of the faces. Refusals are raised
as everywhere. Invariants: wrong credentials never become an anonymous token, and a refresh token
is never issued, because docker would then drop the password and speak only OAuth.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from moorage.access.principals import ANONYMOUS
from moorage.access.scopes import MAX_SCOPES, parse_scopes
from moorage.access.tokens import TOKEN_SERVICE, TokenTooLongError
from moorage.spec.errors import RequestInvalid, Unauthorized, Unsupported, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moorage.access.principals import Principal
    from moorage.access.service import AccessService


@dataclass(frozen=True, slots=True)
class TokenReply:
    """Status, headers and body, ready to be sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


async def answer_token_request(
    access: AccessService,
    *,
    method: str,
    query: Mapping[str, Sequence[str]],
    authorization: str | None,
) -> TokenReply:
    """Answer a token request.

    Raises Unsupported for other methods than GET (clients that try POST first, as containerd, then
    fall back to GET), Unauthorized with a Basic challenge for wrong credentials, RequestInvalid
    for another service or too many scopes.
    """
    if method != "GET":
        raise Unsupported(
            "Tokens are asked for with GET and Basic credentials.", headers=[("Allow", "GET")]
        )
    _check_service(query.get("service", ()))
    scopes = parse_scopes(query.get("scope", ()))
    if len(scopes) > MAX_SCOPES:
        raise _too_many_scopes()
    principal = await _principal(access, authorization)
    try:
        token, claims = access.issue_token(principal, scopes)
    except TokenTooLongError:
        raise _too_many_scopes() from None
    body = {
        "token": token,
        "access_token": token,
        "expires_in": claims.expires_at - claims.issued_at,
        "issued_at": datetime.fromtimestamp(claims.issued_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    return TokenReply(200, headers, msgspec.json.encode(body))


def _check_service(names: Sequence[str]) -> None:
    for name in names:
        if name and name != TOKEN_SERVICE:
            raise RequestInvalid(
                f"This registry issues tokens for the service {TOKEN_SERVICE!r} only, not for "
                f"{quoted(name)}; use the service of its challenge."
            )


def _too_many_scopes() -> RequestInvalid:
    return RequestInvalid(
        f"The scopes do not fit into one token; ask for at most {MAX_SCOPES} repositories."
    )


async def _principal(access: AccessService, authorization: str | None) -> Principal:
    if not authorization:
        return ANONYMOUS
    challenge = ("WWW-Authenticate", access.basic_challenge)
    kind, _, credentials = authorization.strip().partition(" ")
    if kind.lower() != "basic":
        raise Unauthorized(
            "Tokens are given for Basic credentials; send name and password.", headers=[challenge]
        )
    try:
        return await access.log_in(credentials.strip())
    except Unauthorized as refusal:
        raise refusal.with_headers(challenge) from None
