# SPDX-License-Identifier: Apache-2.0
"""The composition root: the only place where the parts of the registry meet."""

from __future__ import annotations

import errno
import os
import tempfile
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING

from moorage.access.service import AccessService
from moorage.access.signing_key import key_from_database, key_from_secret, load_or_create_key
from moorage.access.tokens import MIN_KEY_BYTES
from moorage.content.rules import NO_RULES, LayerURLs, ManifestRules
from moorage.content.service import build_content
from moorage.db import sqlite_file
from moorage.distribution.dispatch import Distribution
from moorage.distribution.in_flight import UploadsInFlight
from moorage.distribution.redirects import Redirects
from moorage.distribution.registry import Bounds, Registry
from moorage.events.log import EventLog
from moorage.front import FrontDoor, RequestObserver
from moorage.ground import boot_id, build_database, build_store
from moorage.http.addresses import Addresses
from moorage.http.application import Application
from moorage.life import RegistryLife
from moorage.lifecycle.snapshot_keeping import SnapshotKeeping, SnapshotOptions
from moorage.lifecycle.snapshots import SignatureKey
from moorage.observe.logs import get_logger
from moorage.spec.errors import Unavailable
from moorage.storage import directories
from moorage.storage.protocol import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from moorage.access.service import AnonymousAccess
    from moorage.content.service import Content
    from moorage.db.protocol import Database
    from moorage.observe.access_log import AccessLog
    from moorage.settings import Settings
    from moorage.settings.sections.validation import Validation
    from moorage.spec.manifests import ReferenceKind
    from moorage.storage.protocol import AppendableStore, BlobStore, ExtentStore

TOKEN_KEY_FILE = "token.key"  # noqa: S105 (a file's name)


def create_app(
    settings: Settings,
    access_log: AccessLog | None = None,
    *,
    store: AppendableStore | ExtentStore | None = None,
) -> Application:
    """The registry that the settings describe, as an ASGI application.

    A `store` is used instead of the one that the settings name.
    """
    if not settings.storage.maintenance.readonly.enabled:
        refuse_unwritable(settings)
    is_passing = settings.storage.inmemory is not None
    memory = Path(tempfile.mkdtemp(prefix="moorage-")) if is_passing else None
    store = store or build_store(settings, serving=True)
    database, store, content = build_heart(settings, memory, store)
    access = build_access(settings, database)
    prefix = settings.http.prefix
    addresses = Addresses(settings.http.trustedproxies, settings.http.host or "", prefix)
    limits = settings.limits
    registry = Registry(
        content=content,
        access=access,
        addresses=addresses,
        bounds=Bounds(
            manifest_bytes=limits.manifestbytes,
            tags_per_push=limits.tagsperpush,
            tags_per_page=settings.tags.maxtags,
            repositories_per_page=settings.catalog.maxentries,
            ranges_per_request=limits.rangesperrequest,
        ),
        in_flight=UploadsInFlight(limits.uploadsperclient),
        redirects=build_redirects(settings),
        base=(settings.http.host or "") + prefix,
        read_only=settings.storage.maintenance.readonly.enabled,
        deletes=settings.storage.delete.enabled,
    )
    life = RegistryLife(
        database,
        store,
        content,
        access,
        settings.storage.maintenance,
        snapshots=build_snapshots(settings, database, store),
        forgotten=memory,
    )
    front = FrontDoor(Distribution(registry), access, life, prefix)
    observer = RequestObserver(access_log, addresses)
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, values in settings.http.headers.items()
        for value in values
    ]
    return Application(front, life, observer, headers)


def build_heart(
    settings: Settings,
    memory: Path | None = None,
    store: AppendableStore | ExtentStore | None = None,
    *,
    must_exist: bool = False,
) -> tuple[Database, AppendableStore | ExtentStore, Content]:
    """The content over its database and store, not yet started: what commands work with too.

    `memory` is a folder for the database of a registry that forgets everything when it stops. With
    `must_exist` the database of a registry is opened and none is made.
    """
    database = build_database(settings, memory, must_exist=must_exist)
    store = store or build_store(settings)
    content = build_content(
        database,
        store,
        EventLog(),
        boot=boot_id(),
        rules=manifest_rules(settings.validation),
    )
    return database, store, content


def build_snapshots(
    settings: Settings, database: Database, store: BlobStore
) -> SnapshotKeeping | None:
    """Who keeps the snapshots; nobody where they are off or would be forgotten."""
    snapshot = settings.storage.snapshot
    if settings.storage.inmemory is not None or not isinstance(store, RecordKeeper):
        return None
    if not snapshot.enabled or settings.storage.maintenance.readonly.enabled:
        return None
    key = snapshot_key(settings)
    if key.secret is None:
        get_logger("moorage").warning(
            "snapshots are not signed: set http.secret, or moorage rebuild cannot tell whether "
            "somebody has changed them"
        )
    options = SnapshotOptions(interval=snapshot.interval, keep=snapshot.keep, key=key)
    return SnapshotKeeping(database, store, options)


def snapshot_key(settings: Settings) -> SignatureKey:
    """What this registry signs its snapshots with."""
    if settings.http.secret is None and settings.storage.driver != "filesystem":
        return SignatureKey(None)
    return SignatureKey(token_key(settings))


def build_redirects(settings: Settings) -> Redirects:
    """Which clients are sent to the object store; a cache on this disk is there to be served."""
    redirect = settings.storage.redirect
    return Redirects(
        enabled=not redirect.disable and settings.storage.localcache is None,
        except_networks=[ip_network(network) for network in redirect.exceptnetworks],
    )


def refuse_unwritable(settings: Settings) -> None:
    """Say at the start what the first push would otherwise find out.

    Raises:
        Unavailable: what is there already cannot be written.
    """
    missing = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if settings.storage.driver == "filesystem":
        root = settings.storage.filesystem.rootdirectory
        for folder in (root, root / "uploads", root / "blobs"):
            if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
                raise directories.unusable(root, missing)
    database = settings.sqlite_path
    if database is not None and database.is_file() and not os.access(database, os.W_OK):
        raise sqlite_file.unusable(database, missing)


def manifest_rules(validation: Validation) -> ManifestRules:
    """What the operator asks of manifests."""
    if validation.disabled:
        return NO_RULES
    manifests = validation.manifests
    usual: frozenset[ReferenceKind] = frozenset({"config", "layer"})
    complete: frozenset[ReferenceKind] = frozenset({*usual, "child"})
    return ManifestRules(
        required=complete if manifests.indexes.platforms == "all" else usual,
        urls=LayerURLs(manifests.urls.allow, manifests.urls.deny),
    )


def build_access(settings: Settings, database: Database) -> AccessService:
    """Who may enter."""
    htpasswd = settings.auth.htpasswd
    if htpasswd is None:
        return AccessService()
    anonymous: AnonymousAccess = "pull" if settings.auth.anonymous == "pull" else "none"
    key: bytes | Callable[[], Awaitable[bytes]] | None = None
    if anonymous == "pull":
        shared = settings.database.postgres is not None and settings.http.secret is None
        key = partial(key_from_database, database) if shared else token_key(settings)
    return AccessService.with_htpasswd(
        htpasswd.path, realm=htpasswd.realm, anonymous=anonymous, token_key=key
    )


def token_key(settings: Settings) -> bytes:
    """The key of all processes of this registry; one that forgets its blobs may forget it too."""
    if settings.http.secret is not None:
        return key_from_secret(settings.http.secret)
    if settings.storage.inmemory is not None:
        return token_bytes(MIN_KEY_BYTES)
    database = settings.sqlite_path
    root = settings.storage.filesystem.rootdirectory
    if settings.storage.driver != "filesystem" and database is not None:
        root = database.parent
    directories.make_root(root)
    path = root / TOKEN_KEY_FILE
    try:
        return load_or_create_key(path)
    except OSError as error:
        raise Unavailable(
            f"the token key {path} cannot be used: {error.strerror}: let the user that the "
            "registry runs as read it and write its folder"
        ) from error
