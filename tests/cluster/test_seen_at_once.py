# SPDX-License-Identifier: Apache-2.0
"""What one replica has acknowledged every other replica shows, from that moment on."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, cast

from tests.conformance.verbs import changed, digests_of, tags_of
from tests.support.images import artifact, image_manifest, random_blob, random_image

if TYPE_CHECKING:
    from tests.cluster.conftest import Everywhere

PUSHES = 200


def test_pushed_here_pulled_there(everywhere: Everywhere) -> None:
    """Two hundred manifests, each pulled by tag and by digest elsewhere the moment it is there."""
    image = random_image()
    for blob in image.blobs:
        everywhere.a.push_blob(blob)

    turns = cycle(((0, 1, 2), (1, 2, 0), (2, 0, 1)))
    for number, (pushing, by_tag, by_digest) in zip(range(PUSHES), turns, strict=False):
        manifest = changed(image.manifest, annotations={"org.example.number": str(number)})
        everywhere[pushing].push_manifest(manifest, "latest")

        pulled = everywhere[by_tag].get_manifest("latest")
        assert (pulled.status, pulled.body) == (200, manifest.payload), number
        pulled = everywhere[by_digest].get_manifest(manifest)
        assert (pulled.status, pulled.body) == (200, manifest.payload), number


def test_blobs_pushed_here_pulled_there(everywhere: Everywhere) -> None:
    """A blob is found and read elsewhere the moment its push is acknowledged."""
    turns = cycle(((0, 1, 2), (1, 2, 0), (2, 0, 1)))
    for _, (pushing, asked, pulling) in zip(range(PUSHES // 4), turns, strict=False):
        blob = random_blob(20_000)
        everywhere[pushing].push_blob(blob)

        assert everywhere[asked].head_blob(blob).status == 200
        assert everywhere[pulling].get_blob(blob).body == blob.payload


def test_missing_is_not_remembered(everywhere: Everywhere) -> None:
    """A replica that has just said 404 finds the thing once it was pushed elsewhere."""
    a, b, c = everywhere
    image = random_image()
    for repository in everywhere:
        assert repository.head_blob(image.config).status == 404
        assert repository.get_manifest("v1").status == 404
        assert repository.tags().status == 404

    a.push_image(image, "v1")

    for repository in (b, c):
        assert repository.head_blob(image.config).status == 200
        assert repository.get_manifest("v1").body == image.manifest.payload
        assert tags_of(repository.tags()) == ["v1"]


def test_deletes(everywhere: Everywhere) -> None:
    """Tags, manifests and blobs deleted on one replica are gone on the others at once."""
    image = random_image()
    everywhere.a.push_image(image)
    turns = cycle(((0, 1, 2), (1, 2, 0), (2, 0, 1)))
    for _, (pushing, deleting, asked) in zip(range(30), turns, strict=False):
        everywhere[pushing].push_image(image, "v1")
        assert everywhere[asked].get_manifest("v1").status == 200
        assert everywhere[deleting].delete_manifest("v1").status == 202
        assert everywhere[asked].get_manifest("v1").status == 404
        assert everywhere[asked].get_manifest(image.manifest).status == 200

        assert everywhere[deleting].delete_manifest(image.manifest).status == 202
        assert everywhere[asked].get_manifest(image.manifest).status == 404

        assert everywhere[deleting].delete_blob(image.config).status == 202
        assert everywhere[asked].head_blob(image.config).status == 404
        assert everywhere[asked].get_blob(image.config).status == 404


def test_tag_moves(everywhere: Everywhere) -> None:
    """Every replica shows where a tag was moved last, whoever moved it."""
    images = [random_image(), random_image()]
    for image in images:
        everywhere.a.push_image(image)

    for number in range(60):
        image = images[number % 2]
        everywhere[number % 3].push_manifest(image.manifest, "moving")
        for repository in everywhere:
            head = repository.head_manifest("moving")
            assert head.headers["Docker-Content-Digest"] == image.manifest.digest, number


def test_mounts(everywhere: Everywhere) -> None:
    """A blob pushed on A is mounted on B into another repository and pulled from C."""
    a, b, c = everywhere
    blob = random_blob(50_000)
    a.push_blob(blob)

    answer = b.sibling("target").mount(blob, b.name)

    assert answer.status == 201, answer
    assert c.sibling("target").get_blob(blob).body == blob.payload
    assert a.delete_blob(blob).status == 202
    assert c.sibling("target").get_blob(blob).body == blob.payload
    assert b.sibling("second").mount(blob, b.name).status == 202  # gone from there: a session


def test_lists(everywhere: Everywhere) -> None:
    """Tag lists, referrers and the catalogue agree on every replica after each change."""
    a, b, c = everywhere
    image = random_image()
    signature = artifact("application/vnd.example.signature", subject=image.manifest)

    a.push_image(image, "one")
    b.push_image(signature)
    c.push_manifest(image.manifest, "two")

    for repository in everywhere:
        assert tags_of(repository.tags()) == ["one", "two"]
        assert digests_of(repository.referrers(image.manifest)) == [signature.manifest.digest]
        catalog = repository.wire.get("/v2/_catalog?n=10000").json()
        assert repository.name in cast("dict[str, list[str]]", catalog)["repositories"]
    assert b.delete_manifest(signature.manifest).status == 202
    for repository in everywhere:
        assert digests_of(repository.referrers(image.manifest)) == []


def test_a_manifest_finds_blobs_from_elsewhere(everywhere: Everywhere) -> None:
    """Config on A, layer on B, manifest on C; and what is deleted on A is missed on B at once."""
    a, b, c = everywhere
    image = random_image()
    a.push_blob(image.config)
    b.push_blob(image.layers[0])

    assert c.put_manifest(image.manifest, "v1").status == 201

    loose = random_blob(1_000)
    a.push_blob(loose)
    assert c.delete_blob(loose).status == 202
    refused = b.put_manifest(image_manifest(image.config, [loose]), "v2")
    assert (refused.status, refused.error_codes()) == (400, ["MANIFEST_BLOB_UNKNOWN"])
