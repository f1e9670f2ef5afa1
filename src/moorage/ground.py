# SPDX-License-Identifier: Apache-2.0
"""The database and the blob store that the settings name: one branch for each kind there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from moorage.db.sqlite import SQLiteDatabase
from moorage.observe.logs import get_logger
from moorage.settings.sections.database import DATABASE_NAME
from moorage.settings.sections.object_stores import GCS, S3
from moorage.spec.errors import Unavailable
from moorage.storage.cache_folder import CacheFolder
from moorage.storage.disk_cache import DiskCache
from moorage.storage.filesystem import FilesystemStore
from moorage.storage.memory import MemoryStore
from moorage.storage.moving import moving_store

if TYPE_CHECKING:
    from moorage.db.moving import MovingDatabase
    from moorage.db.postgres import PostgresDatabase
    from moorage.db.postgres_pool import PostgresOptions
    from moorage.db.protocol import Database
    from moorage.settings import Settings
    from moorage.settings.sections.database import Postgres
    from moorage.settings.sections.object_stores import Azure
    from moorage.settings.sections.storage import Storage
    from moorage.storage.moving import ExtentsTo, FilesTo, MovedFrom
    from moorage.storage.object_bucket import Bucket
    from moorage.storage.objects import ObjectStore
    from moorage.storage.protocol import AppendableStore, ExtentStore


def build_database(
    settings: Settings, memory: Path | None = None, *, must_exist: bool = False
) -> Database:
    """The database, not yet opened.

    `memory` is a folder for the database of a registry that forgets everything when it stops. With
    `must_exist` an empty PostgreSQL is refused; whether a file is there is easily seen before.
    """
    postgres, previous = settings.database.postgres, settings.database.previous.sqlite
    if postgres is not None and previous is not None:
        return build_moving(postgres, previous.path)
    if postgres is not None:
        return build_postgres(postgres, must_exist=must_exist)
    path = settings.sqlite_path
    if path is None:
        if memory is None:
            raise ValueError("a registry in memory needs a folder for its database")
        path = memory / DATABASE_NAME
    return SQLiteDatabase(path)


def build_postgres(postgres: Postgres, *, must_exist: bool = False) -> PostgresDatabase:
    """The PostgreSQL database.

    Raises:
        Unavailable: its driver is not installed.
    """
    options = postgres_options(postgres)
    from moorage.db.postgres import PostgresDatabase

    return PostgresDatabase(options, must_exist=must_exist)


def build_moving(postgres: Postgres, previous: Path) -> MovingDatabase:
    """The SQLite file until it is moved, PostgreSQL from then on.

    Raises:
        Unavailable: the driver of PostgreSQL is not installed.
    """
    options = postgres_options(postgres)
    from moorage.db.moving import MovingDatabase
    from moorage.db.postgres import PostgresDatabase

    def moved() -> None:
        get_logger("moorage").info(
            "the catalogue is in PostgreSQL: database.previous can be removed from the "
            "configuration"
        )

    following = PostgresDatabase(options, arriving=True)
    return MovingDatabase(previous, SQLiteDatabase(previous), following, moved)


def postgres_options(postgres: Postgres) -> PostgresOptions:
    """How to reach the PostgreSQL database.

    Raises:
        Unavailable: its driver is not installed.
    """
    try:
        from moorage.db.postgres_pool import PostgresOptions
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise Unavailable(
            "database.postgres needs the package asyncpg: install moorage[postgres]"
        ) from None
    return PostgresOptions(
        url=postgres.url,
        password_file=postgres.passwordfile,
        pool_size=postgres.poolsize,
        statement_seconds=postgres.statementtimeout,
        lock_seconds=postgres.locktimeout,
        connect_seconds=postgres.connecttimeout,
        pgbouncer=postgres.pgbouncer,
    )


def build_store(settings: Settings, *, serving: bool = False) -> AppendableStore | ExtentStore:
    """The blob store, not yet started.

    Who is `serving` reads through the cache on the local disk; commands see the store as it is.
    """
    storage = settings.storage
    if storage.inmemory is not None:
        return MemoryStore()
    store = _build_current(settings, serving=serving)
    previous = _build_previous(settings)
    return store if previous is None else moving_store(store, previous)


def _build_current(settings: Settings, *, serving: bool) -> FilesTo | ExtentsTo:
    storage = settings.storage
    for name, objects in (("s3", storage.s3), ("gcs", storage.gcs), ("azure", storage.azure)):
        if objects is not None:
            store = build_object_store(settings, objects, f"storage.{name}")
            cache = storage.localcache if serving else None
            if cache is None:
                return store
            return DiskCache(store, CacheFolder(cache.rootdirectory, cache.size, boot_id()))
    filesystem = settings.storage.filesystem
    return FilesystemStore(filesystem.rootdirectory, sync_directories=filesystem.syncdirectories)


def _build_previous(settings: Settings) -> MovedFrom | None:
    previous = settings.storage.previous
    stores = (("s3", previous.s3), ("gcs", previous.gcs), ("azure", previous.azure))
    for name, objects in stores:
        if objects is not None:
            section = f"storage.previous.{name}"
            return build_object_store(settings, objects, section, writable=False)
    if previous.filesystem is not None:
        return FilesystemStore(previous.filesystem.rootdirectory, must_exist=True)
    return None


def boot_id() -> str:
    """This run of the machine; "" where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def build_object_store(
    settings: Settings, objects: S3 | GCS | Azure, section: str, *, writable: bool = True
) -> ObjectStore:
    """The store that a section describes; `section` is what messages call it.

    Raises:
        Unavailable: the package for object stores is missing, or has no use for the settings.
    """
    bucket = build_bucket(objects, section)
    # Both need obstore, which is there now.
    from moorage.storage.object_upload import PartBudget
    from moorage.storage.objects import ObjectStore
    from moorage.storage.signed_urls import SignedURLs

    redirect = settings.storage.redirect
    return ObjectStore(
        bucket,
        SignedURLs(bucket, expiry=redirect.expiry, base_url=redirect.baseurl),
        PartBudget(settings.limits.uploadmemory // objects.chunksize),
        part_bytes=objects.chunksize,
        writable=writable,
    )


def build_source(settings: Settings, source: Storage) -> tuple[Bucket, ObjectStore] | Path:
    """Where another registry's data are: a bucket and what reads its objects, or a folder.

    Raises:
        Unavailable: the package for object stores is missing, or has no use for the settings.
    """
    stores = (("s3", source.s3), ("gcs", source.gcs), ("azure", source.azure))
    for name, objects in stores:
        if objects is not None:
            section = f"storage.{name}"
            store = build_object_store(settings, objects, section, writable=False)
            return build_bucket(objects, section), store
    return source.filesystem.rootdirectory


def build_bucket(objects: S3 | GCS | Azure, section: str) -> Bucket:
    """The bucket that a section describes, whatever is in it.

    Raises:
        Unavailable: the package for object stores is missing, or has no use for the settings.
    """
    try:
        from moorage.storage import object_clients
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "obstore":
            raise
        raise Unavailable(
            f"{section} needs a package that is not installed: install moorage[objects]"
        ) from None
    if isinstance(objects, S3):
        return object_clients.s3_bucket(objects, section)
    if isinstance(objects, GCS):
        return object_clients.gcs_bucket(objects, section)
    return object_clients.azure_container(objects, section)
