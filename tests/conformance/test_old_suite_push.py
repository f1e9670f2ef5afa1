# SPDX-License-Identifier: Apache-2.0
"""The old OCI suite (v1.1.1), workflows Pull and Push: each spec by its title, none skipped.

Two specs exclude each other there (automatic cross-mounting on and off). Both hold here: a blob
that exists somewhere is mounted, one that exists nowhere opens a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.old_suite import (
    HALF,
    INVALID_NAME,
    TAGS,
    Row,
    World,
    absent_digest,
    deletes,
    is_refused_digest,
    pushes_blob,
    pushes_layer,
    pushes_manifest,
)
from tests.conformance.push_ways import post_only, post_put
from tests.conformance.verbs import ACCEPT, assert_pullable

if TYPE_CHECKING:
    from tests.conformance.old_suite import Check
    from tests.conformance.verbs import Repository


def expects(status: int, method: str, what: str) -> Check:
    """HEAD or GET of something in a repository that holds both manifests."""

    def check(world: World) -> None:
        first = world.populate(0, "tagtest0")
        second = world.populate(1)
        repository = world.repository
        paths = {
            "absent blob": repository.blob_path(absent_digest()),
            "blob": repository.blob_path(world.configs[0]),
            "layer": repository.blob_path(world.layer),
            "invalid": repository.manifest_path(INVALID_NAME),
            "manifest[0]": repository.manifest_path(first),
            "manifest[1]": repository.manifest_path(second),
            "tag": repository.manifest_path("tagtest0"),
        }
        answer = repository.wire.request(method, paths[what], headers=ACCEPT)
        assert answer.status == status, answer
        if status == 200:
            expected = second if what == "manifest[1]" else first
            digest = {"blob": world.configs[0].digest, "layer": world.layer.digest}.get(what)
            assert answer.headers["Docker-Content-Digest"] == (digest or expected.digest)

    return check


def streamed(world: World) -> None:
    """POST, then PATCH with all the bytes."""
    answer = world.repository.patch(world.repository.open(), world.blob_a.payload)
    assert answer.status == 202, answer
    assert answer.headers["Range"] == "0-41"


def streamed_to_the_end(world: World) -> None:
    """POST, PATCH, PUT."""
    answer = world.repository.patch(world.repository.open(), world.blob_a.payload)
    assert world.repository.close(answer.location, world.blob_a.digest).status == 201
    assert_pullable(world.repository, world.blob_a)


def posted_whole(world: World) -> None:
    """POST with digest and body."""
    blob = world.configs[1]
    answer = post_only(world.repository, blob.payload, blob.digest)
    assert answer.status == 201, answer
    assert answer.location == world.repository.blob_path(blob)


def posted_and_there(world: World) -> None:
    """What POST created is there at once."""
    posted_whole(world)
    assert_pullable(world.repository, world.configs[1])


def put_whole(number: int | None) -> Check:
    """POST, then PUT with all the bytes, and it can be had."""

    def check(world: World) -> None:
        blob = world.layer if number is None else world.configs[number]
        assert post_put(world.repository, blob.payload, blob.digest).status == 201
        assert_pullable(world.repository, blob)

    return check


def opens(world: World) -> None:
    """POST alone."""
    assert world.repository.open().startswith(world.repository.uploads)


def first_half(world: World) -> None:
    """The first chunk."""
    world.chunks()


def second_half_first(world: World) -> None:
    """A session whose first chunk is the second."""
    answer = world.repository.chunk(world.repository.open(), world.blob_b.payload[HALF:], HALF)
    assert answer.status == 416, answer


def same_half_again(world: World) -> None:
    """The first chunk again, at the location that is stale now."""
    first, _ = world.chunks()
    answer = world.repository.chunk(first, world.blob_b.payload[:HALF], 0)
    assert answer.status == 416, answer


def stale_status(world: World) -> None:
    """The status at the stale location."""
    first, _ = world.chunks()
    same = world.repository.chunk(first, world.blob_b.payload[:HALF], 0)
    assert same.status == 416, same
    status = world.repository.wire.get(first)
    assert (status.status, status.headers["Range"]) == (204, f"0-{HALF - 1}")
    assert status.location


def second_half(world: World) -> None:
    """The second chunk after the first."""
    _, location = world.chunks()
    answer = world.repository.chunk(location, world.blob_b.payload[HALF:], HALF)
    assert (answer.status, answer.headers["Range"]) == (202, "0-41")


def both_halves(world: World) -> None:
    """Both chunks, closed by an empty PUT."""
    _, location = world.chunks()
    answer = world.repository.chunk(location, world.blob_b.payload[HALF:], HALF)
    assert world.repository.close(answer.location, world.blob_b.digest).status == 201
    assert_pullable(world.repository, world.blob_b)


def mount(*, named: bool, exists: bool, already: bool = False) -> Check:
    """Mount into another repository, and find there what the answer promises."""

    def check(world: World) -> None:
        source, target = world.repository, world.repository.sibling("crossmount")
        blob = world.blob_a
        if exists:
            source.push_blob(blob)
        if already:
            assert target.mount(blob, source.name).status == 201
        answer = target.mount(blob, source.name if named else None)
        assert answer.status == (201 if exists else 202), answer
        if exists:
            assert answer.location == target.blob_path(blob)
            assert_pullable(target, blob)
        else:
            assert answer.location.startswith(target.uploads)

    return check


def four_tags(world: World) -> None:
    """One manifest under four tags."""
    world.populate(1)
    for tag in TAGS:
        answer = world.repository.put_manifest(world.manifests[1], tag)
        assert answer.status == 201, answer
        assert answer.location


def without_layers(world: World) -> None:
    """A manifest with an empty list of layers and no mediaType."""
    world.populate(1)
    answer = world.repository.put_manifest(world.no_layers, "emptylayer")
    assert answer.status == 201, answer
    assert world.repository.get_manifest("emptylayer").body == world.no_layers.payload


CONTENT = "manifest config layer"
MANIFEST_0, BLOBS_0 = deletes(0, CONTENT)
MANIFEST_1, BLOBS_1 = deletes(1, CONTENT)
UPLOAD = "Push/Blob Upload"
MOUNT = "Push/Cross-Repository Blob Mount"

ROWS: list[Row] = [
    ("Pull/Setup/Populate registry with test blob (config 0)", pushes_blob(0)),
    ("Pull/Setup/Populate registry with test blob (config 1)", pushes_blob(1)),
    ("Pull/Setup/Populate registry with test layer", pushes_layer),
    ("Pull/Setup/Populate registry with test manifest (tag)", pushes_manifest(0, "tagtest0")),
    ("Pull/Setup/Populate registry with test manifest (digest)", pushes_manifest(1)),
    ("Pull/Setup/Get tag name from environment", expects(200, "GET", "tag")),
    ("Pull/blobs/HEAD nonexistent blob: 404", expects(404, "HEAD", "absent blob")),
    ("Pull/blobs/HEAD existing blob: 200", expects(200, "HEAD", "blob")),
    ("Pull/blobs/GET nonexistent blob: 404", expects(404, "GET", "absent blob")),
    ("Pull/blobs/GET existing blob: 200", expects(200, "GET", "blob")),
    ("Pull/manifests/HEAD nonexistent manifest: 404", expects(404, "HEAD", "invalid")),
    ("Pull/manifests/HEAD manifest[0] (digest): 200", expects(200, "HEAD", "manifest[0]")),
    ("Pull/manifests/HEAD manifest[1] (digest): 200", expects(200, "HEAD", "manifest[1]")),
    ("Pull/manifests/HEAD manifest (tag): 200", expects(200, "HEAD", "tag")),
    ("Pull/manifests/GET nonexistent manifest: 404", expects(404, "GET", "invalid")),
    ("Pull/manifests/GET manifest[0] (digest): 200", expects(200, "GET", "manifest[0]")),
    ("Pull/manifests/GET manifest[1] (digest): 200", expects(200, "GET", "manifest[1]")),
    ("Pull/manifests/GET manifest (tag): 200", expects(200, "GET", "tag")),
    ("Pull/Error codes/400 body is OCI-conforming JSON", is_refused_digest),
    ("Pull/Teardown/Delete manifest[0]", MANIFEST_0),
    ("Pull/Teardown/Delete manifest[1]", MANIFEST_1),
    ("Pull/Teardown/Delete config[0] blob", BLOBS_0),
    ("Pull/Teardown/Delete config[1] blob", BLOBS_1),
    ("Pull/Teardown/Delete layer blob", deletes(0, "layer manifest config")[0]),
    (f"{UPLOAD} Streamed/PATCH with blob: 202", streamed),
    (f"{UPLOAD} Streamed/PUT with digest: 201", streamed_to_the_end),
    (f"{UPLOAD} Monolithic/GET nonexistent blob: 404", expects(404, "GET", "absent blob")),
    (f"{UPLOAD} Monolithic/POST with digest and blob: 201", posted_whole),
    (f"{UPLOAD} Monolithic/GET blob from prior request: 200", posted_and_there),
    (f"{UPLOAD} Monolithic/POST yields a session ID", opens),
    (f"{UPLOAD} Monolithic/PUT of a blob: 201", put_whole(1)),
    (f"{UPLOAD} Monolithic/GET existing blob: 200", expects(200, "GET", "blob")),
    (f"{UPLOAD} Monolithic/PUT of a layer blob: 201", put_whole(None)),
    (f"{UPLOAD} Monolithic/GET existing layer: 200", expects(200, "GET", "layer")),
    (f"{UPLOAD} Chunked/Out-of-order upload: 416", second_half_first),
    (f"{UPLOAD} Chunked/PATCH with first chunk: 202", first_half),
    (f"{UPLOAD} Chunked/Retry previous chunk: 416", same_half_again),
    (f"{UPLOAD} Chunked/Get on stale upload: 204, range, location", stale_status),
    (f"{UPLOAD} Chunked/PATCH with second chunk: 202", second_half),
    (f"{UPLOAD} Chunked/PUT with digest: 201", both_halves),
    (f"{MOUNT}/without from, unknown digest: session", mount(named=False, exists=False)),
    (f"{MOUNT}/another repository's blob: 201", mount(named=True, exists=True)),
    (f"{MOUNT}/GET within cross-mount namespace: 200", mount(named=True, exists=True)),
    (f"{MOUNT}/nonexistent blob: session", mount(named=True, exists=False)),
    (f"{MOUNT}/automatic discovery enabled: 201", mount(named=False, exists=True, already=True)),
    (f"{MOUNT}/automatic discovery finds nothing: 202", mount(named=False, exists=False)),
    ("Push/Manifest Upload/GET nonexistent manifest: 404", expects(404, "GET", "invalid")),
    ("Push/Manifest Upload/PUT accepts a manifest", four_tags),
    ("Push/Manifest Upload/manifest with no layers", without_layers),
    ("Push/Manifest Upload/GET manifest (digest): 200", expects(200, "GET", "manifest[1]")),
    ("Push/Teardown/Delete manifest", MANIFEST_1),
    ("Push/Teardown/Delete config blob", BLOBS_1),
    ("Push/Teardown/Delete layer blob", deletes(1, "layer manifest config")[0]),
]


@pytest.mark.parametrize("check", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_old_suite(repository: Repository, check: Check) -> None:
    """The spec of this title holds in a repository of its own."""
    check(World(repository))
