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
from moorage.settings.store_checks import check_stores
from moorage.settings.values import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from moorage.settings.tree import Settings

STORES = ("filesystem", "inmemory", "s3", "gcs", "azure")


def check(settings: Settings, document: Section, sources: Mapping[str, str]) -> Iterator[str]:
    """Every rule that the settings break, each with its place."""
    storage = document.entries.get("storage")
    given = storage.entries if isinstance(storage, Section) else {}
    stores = [name for name in STORES if name in given]
    if len(stores) > 1:
        place = given[stores[-1]].origin
        yield f"{place}: storage has {' and '.join(stores)}: exactly one store can be used"
    yield from _check_objects(settings, sources)
    yield from check_stores(settings, sources)
    if settings.storage.inmemory is not None:
        yield from _check_memory(settings, sources)
    if settings.database.postgres is not None and settings.database.sqlite.path is not None:
        place = sources["database.sqlite.path"]
        yield f"{place}: database has sqlite and postgres: exactly one database can be used"
    if settings.database.previous.sqlite is not None and settings.database.postgres is None:
        place = sources["database.previous.sqlite.path"]
        yield (
            f"{place}: database.previous is where the catalogue is moved to database.postgres "
            "from: set database.postgres, or use database.sqlite.path"
        )
    if settings.auth.anonymous != "none" and settings.auth.htpasswd is None:
        place = sources["auth.anonymous"]
        yield (
            f"{place}: auth.anonymous says what strangers may do, but without auth.htpasswd there "
            "are only strangers, who may do everything: add auth.htpasswd"
        )
    yield from _check_address(settings, sources)


def _check_objects(settings: Settings, sources: Mapping[str, str]) -> Iterator[str]:
    s3, azure = settings.storage.s3, settings.storage.azure
    if s3 is not None and bool(s3.accesskey) != bool(s3.secretkey):
        given, other = ("secretkey", "accesskey") if s3.secretkey else ("accesskey", "secretkey")
        place = sources[f"storage.s3.{given}"]
        yield f"{place}: storage.s3.{given} is of no use without storage.s3.{other}: set both"
    if azure is None:
        return
    credentials = azure.credentials
    needed: dict[str, object] = {}
    if credentials.type == "shared_key":
        needed = {"accountkey": azure.accountkey}
    elif credentials.type == "client_secret":
        needed = {
            "credentials.clientid": credentials.clientid,
            "credentials.tenantid": credentials.tenantid,
            "credentials.secret": credentials.secret,
        }
    for name, value in needed.items():
        if not value:
            place = sources["storage.azure.credentials.type"]
            yield f"{place}: {credentials.type} needs storage.azure.{name}: set it"


def _check_memory(settings: Settings, sources: Mapping[str, str]) -> Iterator[str]:
    if settings.database.sqlite.path is not None:
        place = sources["database.sqlite.path"]
        yield (
            f"{place}: database.sqlite.path keeps names of blobs that storage.inmemory forgets: "
            "remove it"
        )
    if settings.database.postgres is not None:
        place = sources["database.postgres.url"]
        yield (
            f"{place}: database.postgres keeps names of blobs that storage.inmemory forgets: "
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
