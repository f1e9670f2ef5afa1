# SPDX-License-Identifier: Apache-2.0
"""Rules between several settings, and the warning about an open door.

What a single setting may be is said by its kind. The invariant: a combination that would lose data
or let strangers in is refused, not repaired.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from moorage.settings.building import DEFAULT
from moorage.settings.document import Section
from moorage.settings.values import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from moorage.settings.tree import Settings


def check(settings: Settings, document: Section, sources: Mapping[str, str]) -> Iterator[str]:
    """Every rule that the settings break, each with its place."""
    storage = document.entries.get("storage")
    given = storage.entries if isinstance(storage, Section) else {}
    if "filesystem" in given and "inmemory" in given:
        place = given["inmemory"].origin
        yield f"{place}: storage has filesystem and inmemory: exactly one store can be used"
    if settings.storage.inmemory is not None:
        yield from _check_memory(settings, sources)
    if settings.auth.anonymous != "none" and settings.auth.htpasswd is None:
        place = sources["auth.anonymous"]
        yield (
            f"{place}: auth.anonymous says what strangers may do, but without auth.htpasswd there "
            "are only strangers, who may do everything: add auth.htpasswd"
        )
    yield from _check_address(settings, sources)


def _check_memory(settings: Settings, sources: Mapping[str, str]) -> Iterator[str]:
    if settings.database.sqlite.path is not None:
        place = sources["database.sqlite.path"]
        yield (
            f"{place}: database.sqlite.path keeps names of blobs that storage.inmemory forgets: "
            "remove it"
        )
    if settings.http.workers > 1:
        place = sources["http.workers"]
        yield f"{place}: http.workers: processes do not share storage.inmemory: use 1"


def _check_address(settings: Settings, sources: Mapping[str, str]) -> Iterator[str]:
    addr = settings.http.addr
    # A default is not wrong by itself: then it is `net` that does not go with it.
    given = sources["http.addr"]
    place = sources["http.net"] if given == DEFAULT else given
    if settings.http.net == "unix":
        if not addr or "\0" in addr or (":" in addr and "/" not in addr):
            yield f"{place}: http.addr: {addr!r} is not the path of a socket, which net: unix needs"
        return
    try:
        parse_address(addr)
    except ValueError as error:
        yield f"{place}: http.addr: {error}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; names other than localhost count as reachable."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listens_unsafely(settings: Settings) -> str | None:
    """The warning for a registry that others reach without authentication or encryption."""
    http = settings.http
    if http.net == "unix" or is_loopback(parse_address(http.addr)[0]):
        return None
    proxy_encrypts = bool(http.trustedproxies) or (http.host or "").startswith("https://")
    open_to_all = settings.auth.htpasswd is None and not (http.tls and http.tls.clientcas)
    in_the_clear = http.tls is None and not proxy_encrypts
    faults = []
    if open_to_all:
        faults.append(
            "EVERYBODY who reaches it may replace and delete images (set auth.htpasswd; "
            "moorage htpasswd makes the file)"
        )
    if in_the_clear:
        faults.append(
            "everything, passwords too, is readable on the way (set http.tls, or http.host: "
            "https://... and http.trustedproxies behind a proxy that encrypts)"
        )
    if not faults:
        return None
    return f"UNSAFE: listening on {http.addr}, not only on this machine: " + "; and ".join(faults)
