# SPDX-License-Identifier: Apache-2.0
"""The `http` section: where the registry listens and how it presents itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moorage.settings.amounts import Duration, Integer
from moorage.settings.compounds import ListOf, MapOf
from moorage.settings.kinds import Boolean, Choice, Network, Text
from moorage.settings.leaves import optional, optional_section, section, setting
from moorage.settings.sections.tls import TLS

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR = 3600.0
MAX_WORKERS = 256

# RFC 9110 5.6.2 (token) and 5.5 (field values: visible characters, spaces and tabs).
HEADER_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
HEADER_VALUE = r"[\t\x20-\x7e\xa0-\xff]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTP2:
    """HTTP version 2."""

    disabled: bool = setting(
        Boolean(),
        False,
        "Offer HTTP/1.1 only. The server that `moorage serve` starts speaks HTTP/1.1 only in any "
        "case, so the key is there for existing files and changes nothing; every client falls "
        "back by itself.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTP:
    """Where the registry listens and how it presents itself."""

    addr: str = setting(
        Text(name="address", example="127.0.0.1:5001"),
        "127.0.0.1:5000",
        "The address to listen on: `host:port`, `[IPv6]:port`, or `:port` for all interfaces as in "
        "distribution; in a file, brackets need quotes. Port 0 takes a free one. With `net: unix` "
        "it is the path of the socket.",
        bounds="Loopback, because a registry without `auth` and `tls` lets everybody who reaches "
        "it replace images. distribution's images listen on `:5000`.",
    )
    net: Literal["tcp", "unix"] = setting(
        Choice(("tcp", "unix")),
        "tcp",
        "Listen on a TCP port or on a unix socket.",
    )
    host: str | None = optional(
        Text(
            name="a URL of scheme and host",
            example="https://registry.example.com",
            pattern=r"https?://[^\s/@?#]+/?",
            advice=": write https://registry.example.com, without user name and path",
            dropped_ending="/",
        ),
        "The URL under which clients reach the registry. When it is set, `Location` and `Link` "
        "headers begin with it, as in distribution. Unset they are relative, which is right behind "
        "every proxy; set it only for clients that insist.",
    )
    prefix: str = setting(
        Text(
            name="a path",
            example="/registry",
            pattern=r"/?|/[^\s?#%]*[^\s?#%/]/?",
            advice=": begin with / and leave out ?, # and %",
            dropped_ending="/",
        ),
        "",
        "A path in front of everything, for a registry that shares its host name: with `/registry` "
        "the API is at `/registry/v2/`. Docker and most clients can only use the root.",
    )
    secret: str | None = optional(
        Text(
            name="a secret",
            example="an-example-that-nobody-should-use",
            pattern=r".{16,}",
            advice=": use 16 characters or more, for example those of `openssl rand -hex 32`",
        ),
        "What all replicas of one registry know and nobody else: the key of the tokens that the "
        "registry signs is made from it, and that of the signature of its snapshots "
        "(`storage.snapshot`), so keep a copy of it elsewhere. Unset, a random key is kept in the "
        "database when that is PostgreSQL, else in a file `token.key` beside the data. Changing it "
        "costs nobody more than a new token. **Differs from distribution**, which signs the state "
        "of uploads with it; here that is in the database.",
        bounds="16 is what distribution's Helm chart generates.",
        secret=True,
    )
    headers: Mapping[str, tuple[str, ...]] = setting(
        MapOf(
            ListOf(Text(name="a header value", pattern=HEADER_VALUE)), "header name", HEADER_NAME
        ),
        {},
        "Headers that are added to every reply, each with a list of values, for example "
        "`Strict-Transport-Security: [max-age=63072000]`.",
    )
    draintimeout: float = setting(
        Duration(0.0, 24 * HOUR),
        60.0,
        "How long requests that are under way may take to end after SIGTERM. New connections are "
        "refused at once; what is not done in time is cut, and uploads can be resumed.",
        bounds="60s is the value of distribution's documentation; container platforms send SIGKILL "
        "after 10 (Docker) or 30 (Kubernetes) seconds unless told otherwise.",
    )
    draindelay: float = setting(
        Duration(0.0, HOUR),
        0.0,
        "How long the registry goes on as before after SIGTERM, while `/readyz` answers 503 and "
        "every reply ends its connection; `draintimeout` begins after it. Set it where a load "
        "balancer must notice first: two of its health checks and a little more.",
        bounds="0s, because without a balancer it would only make every stop slower. Kubernetes "
        "needs some 10s until all of its proxies have forgotten a pod.",
    )
    trustedproxies: tuple[str, ...] = setting(
        ListOf(Network()),
        (),
        "Addresses and networks of proxies whose `X-Forwarded-For`, `X-Forwarded-Proto` and "
        "`X-Forwarded-Host` headers are believed. Whoever connects over a unix socket "
        "(`net: unix`) is believed too: the socket's mode says who that is. From everybody else "
        "they are ignored.",
        bounds="Empty: whoever is believed can choose the address that the log shows.",
    )
    workers: int = setting(
        Integer(1, MAX_WORKERS),
        1,
        "How many processes serve requests. All of them use the same port, folder and database.",
        bounds="One process uses one core and the least memory; one for each core uses a machine "
        "whole. 256 is more than the cores of common machines.",
    )
    http2: HTTP2 = section(HTTP2, "HTTP version 2.")
    tls: TLS | None = optional_section(
        TLS,
        "Encrypted connections. When the section is present, only HTTPS is served on the port.",
        present_when_empty=False,
    )
