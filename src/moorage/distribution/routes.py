# SPDX-License-Identifier: Apache-2.0
"""The one table of `/v2`: routing, authorization, documentation and tests all read it.

A repository's name has any number of parts and may contain every word that paths are made of, so a
path is read from the right: its last words name the resource, what stands before them the
repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moorage.distribution import base, blobs, catalog, manifests, referrers, tags, uploads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from moorage.distribution.registry import Call, Registry
    from moorage.http.replies import Reply

    Handler = Callable[[Registry, Call], Awaitable[Reply]]

Permission = Literal["ping", "catalog", "pull", "push", "delete"]
Effect = Literal["read", "write", "delete"]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: `end` is its number in the distribution specification, "" if it has none.

    `effect` tells what a read-only registry, or one without deletes, refuses.
    """

    method: str
    path: str
    permission: Permission
    effect: Effect
    handler: Handler
    end: str = ""


_BASE = "/v2/"
_DISCOVER = "/v2/_oci/ext/discover"
_CATALOG = "/v2/_catalog"
_BLOB = "/v2/<name>/blobs/<digest>"
_MANIFEST = "/v2/<name>/manifests/<reference>"
_UPLOADS = "/v2/<name>/blobs/uploads/"
_UPLOAD = "/v2/<name>/blobs/uploads/<session>"

_TAGS = "/v2/<name>/tags/list"
_REFERRERS = "/v2/<name>/referrers/<digest>"

ROUTES: tuple[Route, ...] = (
    Route("GET", _BASE, "ping", "read", base.ping, "end-1"),
    Route("GET", _DISCOVER, "ping", "read", base.discover),
    Route("GET", _CATALOG, "catalog", "read", catalog.list_repositories),
    Route("GET", _BLOB, "pull", "read", blobs.get_blob, "end-2"),
    Route("HEAD", _BLOB, "pull", "read", blobs.head_blob, "end-2"),
    Route("DELETE", _BLOB, "delete", "delete", blobs.delete_blob, "end-10"),
    Route("GET", _MANIFEST, "pull", "read", manifests.get_manifest, "end-3"),
    Route("HEAD", _MANIFEST, "pull", "read", manifests.head_manifest, "end-3"),
    Route("PUT", _MANIFEST, "push", "write", manifests.put_manifest, "end-7a, end-7b"),
    Route("DELETE", _MANIFEST, "delete", "delete", manifests.delete_manifest, "end-9"),
    Route(
        "POST", _UPLOADS, "push", "write", uploads.start_upload, "end-4a, end-4b, end-4c, end-11"
    ),
    Route("PATCH", _UPLOAD, "push", "write", uploads.append_chunk, "end-5"),
    Route("PUT", _UPLOAD, "push", "write", uploads.finish_upload, "end-6"),
    Route("GET", _UPLOAD, "push", "read", uploads.get_upload, "end-13"),
    # Cancelling is part of pushing: clients do it with a token that cannot delete.
    Route("DELETE", _UPLOAD, "push", "write", uploads.cancel_upload, "end-14"),
    Route("GET", _TAGS, "pull", "read", tags.list_tags, "end-8a, end-8b"),
    Route("GET", _REFERRERS, "pull", "read", referrers.list_referrers, "end-12a, end-12b"),
)


@dataclass(frozen=True, slots=True)
class Match:
    """A path that names a resource: its operations by method, and what the path says."""

    operations: Mapping[str, Route]
    repository: str = ""
    argument: str = ""


def _operations(path: str) -> dict[str, Route]:
    """What can be done with a resource; what can be read can be asked about with HEAD."""
    operations = {route.method: route for route in ROUTES if route.path == path}
    if "GET" in operations:
        operations.setdefault("HEAD", operations["GET"])
    return operations


_FIXED = {path: Match(_operations(path)) for path in (_BASE, _DISCOVER, _CATALOG)}
# Nobody who leaves out or adds a slash is redirected: a streamed body cannot be sent again.
_FIXED |= {"/v2": _FIXED[_BASE], "/v2/_catalog/": _FIXED[_CATALOG]}
_ON_UPLOADS = _operations(_UPLOADS)
_ON_UPLOAD = _operations(_UPLOAD)
_ON_TAGS = _operations(_TAGS)
_BY_WORD = {
    "manifests": _operations(_MANIFEST),
    "blobs": _operations(_BLOB),
    "referrers": _operations(_REFERRERS),
}
_NAME_STARTS = len("/v2/")


def match(path: str) -> Match | None:
    """The resource that a decoded path names, or None."""
    found = _in_repository(path)
    # "/v2/manifests/latest" is no manifest of a repository without a name.
    return found if found is not None and found.repository else _FIXED.get(path)


def _in_repository(path: str) -> Match | None:
    before, _, last = path.rpartition("/")
    before, _, word = before.rpartition("/")
    if word == "uploads" and before.endswith("/blobs"):
        operations = _ON_UPLOAD if last else _ON_UPLOADS
        return Match(operations, before[_NAME_STARTS : -len("/blobs")], last)
    if last == "list" and word == "tags":
        return Match(_ON_TAGS, before[_NAME_STARTS:])
    if last == "uploads" and word == "blobs":
        return Match(_ON_UPLOADS, before[_NAME_STARTS:])
    found = _BY_WORD.get(word)
    if found is not None and last:
        return Match(found, before[_NAME_STARTS:], last)
    return None
