# SPDX-License-Identifier: Apache-2.0
"""Looks at what a registry has on its disk: the database against itself and against the blobs.

Reads beside the running registry, so that the recovery after a kill is the registry's own work.
Files that no row knows of may be there, because a kill fell between rename and commit; but what a
file's name says must be true even then.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINKS_WITHOUT_BYTES = """
    SELECT digest FROM repository_blobs WHERE digest NOT IN (SELECT digest FROM extents)
"""
_EXTENTS = "SELECT e.digest, e.key, e.size, b.size FROM extents e JOIN blobs b USING (digest)"
_INCOMPLETE = """
    SELECT m.digest, r.digest FROM manifests m
    JOIN manifest_references r ON r.manifest_id = m.id AND r.kind IN ('config', 'layer')
    WHERE m.deleted_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM repository_blobs l
        WHERE l.repository_id = m.repository_id AND l.digest = r.digest)
"""
_DANGLING = """
    SELECT t.name, t.digest FROM tags t
    WHERE t.ended_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM manifests m WHERE m.repository_id = t.repository_id
            AND m.digest = t.digest AND m.deleted_at IS NULL)
"""
_OPEN_TAGS = """
    SELECT r.name, t.name, t.digest FROM tags t JOIN repositories r ON r.id = t.repository_id
    WHERE t.ended_at IS NULL
"""
_LINKS = """
    SELECT r.name, l.digest FROM repository_blobs l JOIN repositories r ON r.id = l.repository_id
"""
_MANIFESTS = """
    SELECT r.name, m.digest FROM manifests m JOIN repositories r ON r.id = m.repository_id
    WHERE m.deleted_at IS NULL
"""
_EVENTS = "SELECT action, repository, target, detail FROM events ORDER BY seq"


class Autopsy:
    """Remembers which files it has hashed, so that each is hashed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._hashed: set[str] = set()

    def examine(self) -> None:
        """Fail if anything is not as it should be."""
        with closing(sqlite3.connect(self._root / "moorage.db")) as database:
            database.execute("PRAGMA query_only = ON")
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
            assert database.execute(_LINKS_WITHOUT_BYTES).fetchall() == []
            assert database.execute(_INCOMPLETE).fetchall() == []
            assert database.execute(_DANGLING).fetchall() == []
            self._files(database)
            _events(database)

    def _files(self, database: sqlite3.Connection) -> None:
        blobs = self._root / "blobs"
        for digest, key, extent_size, blob_size in database.execute(_EXTENTS):
            path = blobs / key
            assert path.name.startswith(digest.partition(":")[2])
            assert path.stat().st_size == extent_size == blob_size, f"{digest} in {key}"
        for path in blobs.glob("*/*/*"):
            if path.name not in self._hashed:
                algorithm, encoded = path.parent.parent.name, path.name.partition(".")[0]
                with path.open("rb") as file:
                    actual = hashlib.file_digest(file, algorithm).hexdigest()
                assert actual == encoded, f"{path} holds {actual}"
                self._hashed.add(path.name)


def _events(database: sqlite3.Connection) -> None:
    """What the event log tells, told again from the beginning, is what is there."""
    tags: dict[tuple[str, str], str] = {}
    blobs: set[tuple[str, str]] = set()
    manifests: set[tuple[str, str]] = set()
    for action, repository, target, detail in database.execute(_EVENTS):
        place = (repository, target)
        match action:
            case "tag.created" | "tag.moved":
                said = json.loads(detail)
                assert said["before"] == tags.get(place)
                tags[place] = said["after"]
            case "tag.deleted":
                assert tags.pop(place) == json.loads(detail)["before"]
            case "blob.pushed" | "blob.mounted":
                blobs.add(place)
            case "blob.deleted":
                blobs.remove(place)
            case "manifest.pushed":
                manifests.add(place)
            case "manifest.deleted":
                manifests.remove(place)
    assert tags == {(name, tag): digest for name, tag, digest in database.execute(_OPEN_TAGS)}
    assert blobs == set(database.execute(_LINKS))
    assert manifests == set(database.execute(_MANIFESTS))
