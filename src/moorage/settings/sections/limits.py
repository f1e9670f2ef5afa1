# SPDX-License-Identifier: Apache-2.0
"""The `limits`, `catalog` and `tags` sections: every bound, with its reason and its precedent."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.settings.amounts import Duration, Integer, Size
from moorage.settings.leaves import setting

KIB = 1 << 10
MIB = 1 << 20
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may ask for."""

    headerbytes: int = setting(
        Size(8 * KIB, MIB),
        32 * KIB,
        "The size of the request line and all headers together. More is answered with 431.",
        bounds="Tokens of identity providers with many groups reach 16 KiB; nginx takes four "
        "buffers of 8 KiB, Go servers 1 MiB.",
    )
    headertimeout: float = setting(
        Duration(1.0, HOUR),
        30.0,
        "How long a client may take to send its headers, from the first byte or, over TLS, from "
        "the beginning of the handshake.",
        bounds="nginx waits 60 seconds, Apache 20 to 40. Without it a few hundred slow clients "
        "hold all connections.",
    )
    idletimeout: float = setting(
        Duration(1.0, 24 * HOUR),
        120.0,
        "How long a connection may wait for its next request.",
        bounds="Go clients keep idle connections for 30 to 90 seconds and do not repeat a PATCH "
        "whose connection has just been closed, so the server must wait longer than they do; "
        "nginx waits 75.",
    )
    bodytimeout: float = setting(
        Duration(1.0, 24 * HOUR),
        60.0,
        "How long a request body may be without progress, and how long a client may take nothing "
        "of a reply. It is no limit on the whole: an upload may take days.",
        bounds="nginx's `client_body_timeout` and `send_timeout` have the same meaning and 60 "
        "seconds.",
    )
    manifestbytes: int = setting(
        Size(4 * MIB, 64 * MIB),
        4 * MIB,
        "The size of a manifest or index. More is answered with 413.",
        bounds="4 MiB is what the specification asks clients and registries to support at least, "
        "and distribution's limit. Manifests are kept in the database and in memory while they "
        "are checked.",
    )
    uploadmemory: int = setting(
        Size(16 * MIB, 1 << 40),
        384 * MIB,
        "What all uploads into an object store may hold in memory together, in each process. An "
        "upload needs one part (`storage.s3.chunksize`) and takes a second one when it is free; "
        "one that finds no part free within 30 seconds is answered with 503.",
        bounds="76 parts of 5 MiB: more than one client may have uploads (`uploadsperclient`), so "
        "that nobody can keep all of it from the others, and a process below 600 MiB. distribution "
        "holds one or two parts of 10 MB for each upload, without a bound.",
    )
    rangesperrequest: int = setting(
        Integer(1, 1000),
        64,
        "How many ranges one request may ask for. A request with more is answered with the whole "
        "blob.",
        bounds="Lazy-pulling snapshotters ask for one to a few dozen; Apache's limit is 200. "
        "Overlapping ranges by the thousand were an attack once (CVE-2011-3192).",
    )
    tagsperpush: int = setting(
        Integer(10, 1000),
        64,
        "How many tags one manifest push may set with `?tag=`. More is answered with 414.",
        bounds="The specification lets a registry choose and asks for at least 10.",
    )
    uploadsperclient: int = setting(
        Integer(1, 100_000),
        64,
        "How many requests with a body one client may have under way at the same time. More is "
        "answered with 429 and a time to wait.",
        bounds="Docker sends 5 layers at once, containerd and skopeo 3 to 6, a build farm behind "
        "one address several dozen. Each holds one piece of about 256 KiB in memory.",
    )
    connections: int = setting(
        Integer(1, 1_000_000),
        10_000,
        "How many connections each process holds open; further ones wait to be accepted.",
        bounds="The process's own limit of open files (`ulimit -n`) must be higher; systemd and "
        "Docker commonly give far more.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The list of repositories."""

    maxentries: int = setting(
        Integer(1, 100_000),
        1000,
        "How many repositories one page of `/v2/_catalog` holds at most.",
        bounds="1000 is distribution's default.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """The lists of tags."""

    maxtags: int = setting(
        Integer(1, 100_000),
        50_000,
        "How many tags one page of `/v2/<name>/tags/list` holds at most.",
        bounds="distribution 3 has 1000, distribution 2 no limit. Many scripts do not follow "
        "`Link` headers, so the page is as large as is cheap: 50,000 tags are about a megabyte.",
    )
