# SPDX-License-Identifier: Apache-2.0
"""Rules between the store, the one that it replaces, and the cache in front of it.

Invariant: a move never begins and ends in the same place, and never leaves the catalogue behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from moorage.settings.sections.object_stores import GCS, S3, Azure
    from moorage.settings.sections.previous_store import PreviousFilesystem
    from moorage.settings.sections.storage import Filesystem
    from moorage.settings.tree import Settings

# The setting that every section of a store has and must have.
_NAMING = {
    "filesystem": "rootdirectory",
    "s3": "bucket",
    "gcs": "bucket",
    "azure": "container",
}


def check_stores(settings: Settings, sources: Mapping[str, str]) -> Iterator[str]:
    """Every rule that is broken, each with its place."""
    yield from _check_cache(settings, sources)
    storage, previous = settings.storage, settings.storage.previous
    if previous.driver is None:
        return
    place = sources[f"storage.previous.{previous.driver}.{_NAMING[previous.driver]}"]
    if len(previous.kinds) > 1:
        yield f"{place}: storage.previous has {' and '.join(previous.kinds)}: name one store"
        return
    if storage.inmemory is not None:
        yield f"{place}: storage.previous: blobs cannot be moved to storage.inmemory"
        return
    if storage.driver == previous.driver and _place_of_store(settings) == _place_of_previous(
        settings
    ):
        yield (
            f"{place}: storage.previous is the same place as storage.{storage.driver}: name the "
            "store that was used before, or remove storage.previous"
        )
    if settings.database.postgres is None and settings.database.sqlite.path is None:
        yield (
            f"{place}: storage.previous moves blobs and not the database: name the file that is "
            "used so far as database.sqlite.path (moorage.db in the old rootdirectory unless it "
            "was set)"
        )


def _check_cache(settings: Settings, sources: Mapping[str, str]) -> Iterator[str]:
    storage = settings.storage
    if storage.localcache is not None and storage.driver in {"filesystem", "inmemory"}:
        place = sources["storage.localcache.rootdirectory"]
        yield (
            f"{place}: storage.localcache is for blobs in an object store, and these are on this "
            "machine already: remove it"
        )


def _place_of_store(settings: Settings) -> tuple[str, ...]:
    storage = settings.storage
    return _place(storage.s3 or storage.gcs or storage.azure or storage.filesystem)


def _place_of_previous(settings: Settings) -> tuple[str, ...]:
    previous = settings.storage.previous
    store = previous.s3 or previous.gcs or previous.azure or previous.filesystem
    return _place(store) if store is not None else ()


def _place(store: Filesystem | PreviousFilesystem | S3 | GCS | Azure) -> tuple[str, ...]:
    """What tells two stores of one kind apart."""
    root = store.rootdirectory
    if not isinstance(root, str):
        return (str(root.absolute()),)
    names = ("accountname", "container", "bucket", "regionendpoint", "endpoint", "serviceurl")
    return (*[str(getattr(store, name, "")) for name in names], root.strip("/"))
