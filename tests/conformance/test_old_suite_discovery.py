# SPDX-License-Identifier: Apache-2.0
"""The old OCI suite (v1.1.1), workflows Content Discovery and Content Management, none skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.old_suite import (
    ANNOTATION,
    TAGS,
    TYPE_A,
    References,
    Row,
    World,
    absent_digest,
    deletes,
    pushes_blob,
    pushes_layer,
    pushes_manifest,
    tags_are,
)
from tests.conformance.verbs import digests_of, manifests_of, tags_of
from tests.support.images import EMPTY_CONFIG, Content

if TYPE_CHECKING:
    from tests.conformance.old_suite import Check
    from tests.conformance.verbs import Repository


def four_tags(world: World) -> None:
    """Four tags are pushed and listed."""
    world.populate(2, *TAGS)
    tags_are(world, TAGS)


def limited(world: World) -> None:
    """Half of the tags, exactly."""
    world.populate(2, *TAGS)
    assert tags_of(world.repository.tags(n=2)) == TAGS[:2]


def after_last(world: World) -> None:
    """The other half."""
    world.populate(2, *TAGS)
    assert tags_of(world.repository.tags(n=2, last=TAGS[1])) == TAGS[2:]


def references_are_pushed(world: World) -> None:
    """All artifacts are accepted, with the header that says that the subject was seen."""
    References(world).push()


def nothing_refers(world: World) -> None:
    """What does not exist has no referrers, and that is no error."""
    assert manifests_of(world.repository.referrers(absent_digest())) == []


def assert_annotated(world: World, found: list[dict[str, object]]) -> None:
    """Every descriptor carries its manifest's annotations."""
    for descriptor in found:
        manifest = world.repository.get_manifest(str(descriptor["digest"])).json()
        assert isinstance(manifest, dict)
        assert descriptor["annotations"] == manifest["annotations"]
        assert ANNOTATION in manifest["annotations"]


def five_refer(world: World) -> None:
    """Five artifacts, each with its one annotation."""
    references = References(world).push()
    found = manifests_of(world.repository.referrers(references.subject))
    expected = [*references.of_type_a, *references.of_type_b, references.index]
    assert {item["digest"] for item in found} == {item.digest for item in expected}
    assert len(found) == 5
    assert_annotated(world, found)


def two_of_type(world: World) -> None:
    """Two of the five are of type A, one by its config and one by its artifactType."""
    references = References(world).push()
    answer = world.repository.referrers(references.subject, artifactType=TYPE_A)
    found = manifests_of(answer)
    assert answer.headers.get_all("OCI-Filters-Applied") == ["artifactType"]
    assert {item["digest"] for item in found} == {item.digest for item in references.of_type_a}
    assert len(found) == 2
    assert_annotated(world, found)


def one_refers_to_the_missing(world: World) -> None:
    """A subject that was never pushed has its referrer all the same."""
    references = References(world).push()
    assert digests_of(world.repository.referrers(references.absent)) == [references.orphan.digest]


def reference_teardown(*, manifests_first: bool) -> Check:
    """Referrers, subject and blobs are deleted in either order; the list empties with them."""

    def check(world: World) -> None:
        references = References(world).push()
        manifests = [
            references.index,
            *references.of_type_a,
            references.subject,
            *references.of_type_b,
            references.orphan,
        ]
        blobs = [world.configs[4], references.blob_a, references.blob_b, EMPTY_CONFIG]
        order: list[Content] = [*manifests, *blobs] if manifests_first else [*blobs, *manifests]
        for item in order:
            is_manifest = item in manifests
            repository = world.repository
            answer = (
                repository.delete_manifest(item) if is_manifest else repository.delete_blob(item)
            )
            assert answer.status == 202, (item, answer)
        assert manifests_of(world.repository.referrers(references.subject)) == []
        assert manifests_of(world.repository.referrers(references.absent)) == []

    return check


def tag_is_deleted(world: World) -> None:
    """202, and the tag alone is gone."""
    manifest = world.populate(3, "tagtest0", "other")
    assert world.repository.delete_manifest("tagtest0").status == 202
    assert world.repository.get_manifest("tagtest0").status == 404
    assert world.repository.get_manifest(manifest).status == 200
    tags_are(world, ["other"])


def manifest_is_deleted(world: World) -> None:
    """202 by digest, also after its tag was deleted."""
    manifest = world.populate(3, "tagtest0")
    assert world.repository.delete_manifest("tagtest0").status == 202
    assert world.repository.delete_manifest(manifest).status == 202


def deleted_manifest_is_gone(world: World) -> None:
    """404 by digest and by each tag."""
    manifest = world.populate(3, "tagtest0", "other")
    assert world.repository.delete_manifest(manifest).status == 202
    for reference in (manifest.digest, "tagtest0", "other"):
        assert world.repository.get_manifest(reference).status == 404


def one_tag_less(world: World) -> None:
    """A list of five tags becomes one of four."""
    world.populate(2, *TAGS)
    manifest = world.populate(3, "tagtest0")
    tags_are(world, [*sorted([*TAGS, "tagtest0"])])
    assert world.repository.delete_manifest(manifest).status == 202
    tags_are(world, TAGS)


MANIFEST_2, BLOBS_2 = deletes(2, "manifest config layer")
MANIFEST_3, BLOBS_3 = deletes(3, "manifest config layer")
LAYER_FIRST = deletes(2, "layer manifest config")[0]
DISCOVERY = "Content Discovery"
MANAGEMENT = "Content Management"

ROWS: list[Row] = [
    (f"{DISCOVERY}/Setup/Populate registry with test blob", pushes_blob(2)),
    (f"{DISCOVERY}/Setup/Populate registry with test layer", pushes_layer),
    (f"{DISCOVERY}/Setup/Populate registry with test tags", four_tags),
    (f"{DISCOVERY}/Setup/Populate registry with test tags (no push)", four_tags),
    (f"{DISCOVERY}/Setup/References setup", references_are_pushed),
    (f"{DISCOVERY}/tags/GET list: 200", four_tags),
    (f"{DISCOVERY}/tags/limitable by n", limited),
    (f"{DISCOVERY}/tags/start is set by last", after_last),
    (f"{DISCOVERY}/references/nonexistent: empty 200", nothing_refers),
    (f"{DISCOVERY}/references/existing: 200", five_refer),
    (f"{DISCOVERY}/references/existing with filter: 200", two_of_type),
    (f"{DISCOVERY}/references/missing manifest: 200", one_refers_to_the_missing),
    (f"{DISCOVERY}/Teardown/Delete manifest & tags", MANIFEST_2),
    (f"{DISCOVERY}/Teardown/Delete config blob", BLOBS_2),
    (f"{DISCOVERY}/Teardown/Delete layer blob", LAYER_FIRST),
    (f"{DISCOVERY}/Teardown/References", reference_teardown(manifests_first=True)),
    (f"{DISCOVERY}/Teardown/References, blobs first", reference_teardown(manifests_first=False)),
    (f"{MANAGEMENT}/Setup/Populate registry with test config blob", pushes_blob(3)),
    (f"{MANAGEMENT}/Setup/Populate registry with test layer", pushes_layer),
    (f"{MANAGEMENT}/Setup/Populate registry with test tag", pushes_manifest(3, "tagtest0")),
    (f"{MANAGEMENT}/Setup/Check how many tags there are", four_tags),
    (f"{MANAGEMENT}/Manifest delete/DELETE tag: 202", tag_is_deleted),
    (f"{MANAGEMENT}/Manifest delete/DELETE digest: 202", manifest_is_deleted),
    (f"{MANAGEMENT}/Manifest delete/GET deleted manifest: 404", deleted_manifest_is_gone),
    (f"{MANAGEMENT}/Manifest delete/tags list reflects deletion", one_tag_less),
    (f"{MANAGEMENT}/Blob delete/DELETE blob: 202", BLOBS_3),
    (f"{MANAGEMENT}/Blob delete/GET deleted blob: 404", MANIFEST_3),
]


@pytest.mark.parametrize("check", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_old_suite(repository: Repository, check: Check) -> None:
    """The spec of this title holds in a repository of its own."""
    check(World(repository))
