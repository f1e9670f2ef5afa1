# SPDX-License-Identifier: Apache-2.0
"""The check finds what was damaged on purpose, and its repair is healed by the next push.

The registry serves all the time.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.images import (
    blob_path,
    image_config,
    image_manifest,
    manifest_path,
    push_blob,
    push_image,
    push_manifest,
    random_blob,
)

if TYPE_CHECKING:
    from tests.lifecycle.conftest import Stocked

OLD = 1_000_000_000


def findings(stocked: Stocked, *arguments: str, code: int) -> list[tuple[str, str, bool]]:
    """Kind, digest and whether it was repaired, of all that a check finds."""
    outcome = stocked.commands.run("check", "--json", *arguments)
    assert outcome.code == code, outcome
    return [
        (each["kind"], each["digest"], bool(each["repair"])) for each in outcome.json()["findings"]
    ]


def assert_healthy(stocked: Stocked) -> None:
    """A check finds nothing, and everything is served."""
    assert findings(stocked, code=0) == []
    for name in ("team/app", "base"):
        answer = stocked.wire.get(manifest_path(name, "1.0"))
        assert answer.body == stocked.image.manifest.payload
        for blob in stocked.image.blobs:
            assert stocked.wire.get(blob_path(name, blob.digest)).body == blob.payload


def heal(stocked: Stocked) -> None:
    """Push everything again, as a client that has the image would."""
    for name in ("team/app", "base"):
        push_image(stocked.wire, name, stocked.image, "1.0")


def test_a_healthy_registry_is_clean(stocked: Stocked) -> None:
    """Nothing is found, and the report counts what was looked at."""
    report = stocked.commands.run("check", "--json").json()

    assert (report["blobs"], report["manifests"], report["tags"]) == (3, 2, 2)
    assert report["bytes"] == sum(blob.size for blob in stocked.image.blobs)
    assert (report["problems"], report["findings"]) == (0, [])
    assert "0 problems" in stocked.commands.run("check").text


def test_damage_is_found_set_aside_and_healed(stocked: Stocked) -> None:
    """A blob with wrong bytes is found, quarantined, not served any more, and stored by a push."""
    blob = stocked.image.layers[0]
    file = stocked.blob_file(blob.digest)
    file.write_bytes(bytes(blob.size))

    assert findings(stocked, code=1) == [("blob-damaged", blob.digest, False)]
    assert findings(stocked, "--quick", code=0) == []
    assert file.exists()
    found = findings(stocked, "--repair", code=1)
    assert found == [
        ("blob-damaged", blob.digest, True),
        ("reference-missing", blob.digest, False),
        ("reference-missing", blob.digest, False),
    ]
    (aside,) = (stocked.registry.root / "quarantine").iterdir()
    assert aside.read_bytes() == bytes(blob.size)
    assert not file.exists()
    assert stocked.wire.get(blob_path("base", blob.digest)).status == 404
    assert stocked.events("blob.unlinked") == [("base", blob.digest), ("team/app", blob.digest)]
    assert stocked.events("blob.forgotten") == [("", blob.digest)]

    heal(stocked)
    assert_healthy(stocked)


def test_one_push_heals_all_repositories(stocked: Stocked) -> None:
    """After a push to one repository the next repair links the blob where it is needed."""
    blob = stocked.image.layers[0]
    stocked.blob_file(blob.digest).write_bytes(b"")
    findings(stocked, "--repair", code=1)
    push_image(stocked.wire, "base", stocked.image, "1.0")

    assert findings(stocked, code=1) == [("reference-missing", blob.digest, False)]
    assert findings(stocked, "--repair", code=0) == [("reference-missing", blob.digest, True)]
    assert stocked.events("blob.relinked") == [("team/app", blob.digest)]
    assert_healthy(stocked)


def test_a_wrong_size_is_found_quickly(stocked: Stocked) -> None:
    """A file that was cut off is found without reading it."""
    blob = stocked.image.config
    os.truncate(stocked.blob_file(blob.digest), 5)

    assert findings(stocked, "--quick", code=1) == [("blob-size", blob.digest, False)]
    findings(stocked, "--quick", "--repair", code=1)
    heal(stocked)
    assert_healthy(stocked)


def test_a_wrong_size_in_the_catalogue_is_corrected(stocked: Stocked) -> None:
    """A file that hashes right is never set aside."""
    blob = stocked.image.layers[0]
    file = stocked.blob_file(blob.digest)
    stocked.change("UPDATE blobs SET size = size + 1 WHERE digest = ?", blob.digest)

    found = findings(stocked, "--repair", code=0)
    assert found == [("blob-size", blob.digest, True)]
    assert file.exists()
    assert_healthy(stocked)


def test_a_lost_file_is_found_and_healed(stocked: Stocked) -> None:
    """A blob without its file is forgotten, so that the next push stores it."""
    blob = stocked.image.layers[1]
    stocked.blob_file(blob.digest).unlink()

    assert findings(stocked, "--quick", code=1) == [("blob-lost", blob.digest, False)]
    assert ("blob-lost", blob.digest, True) in findings(stocked, "--repair", code=1)
    heal(stocked)
    assert_healthy(stocked)


@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_a_good_copy_in_the_store_is_used(stocked: Stocked, how: str) -> None:
    """Another file of the same blob takes the place of a lost or damaged one."""
    blob = stocked.image.layers[0]
    file = stocked.blob_file(blob.digest)
    copy = file.with_name(f"{blob.digest[7:]}.other")
    shutil.copyfile(file, copy)
    if how == "lost":
        file.unlink()
    else:
        file.write_bytes(bytes(blob.size))

    assert findings(stocked, "--repair", code=0) == [(f"blob-{how}", blob.digest, True)]
    assert stocked.events("blob.adopted") == [("", blob.digest)]
    assert_healthy(stocked)


def test_a_needed_orphan_is_adopted(stocked: Stocked) -> None:
    """A file whose blob the catalogue has lost is linked again where a manifest needs it."""
    blob = stocked.image.layers[0]
    for table in ("repository_blobs", "extents", "blobs"):
        stocked.change(f"DELETE FROM {table} WHERE digest = ?", blob.digest)

    missing = ("reference-missing", blob.digest)
    assert findings(stocked, code=1) == [(*missing, False)] * 2
    assert findings(stocked, "--repair", code=0) == [(*missing, True)] * 2
    assert_healthy(stocked)


def test_a_deleted_blob_that_is_needed_is_linked_again(stocked: Stocked) -> None:
    """A blob that a client deleted from under a manifest comes back by a repair."""
    blob = stocked.image.layers[0]
    assert stocked.wire.delete(blob_path("base", blob.digest)).status == 202

    assert findings(stocked, "--repair", code=0) == [("reference-missing", blob.digest, True)]
    assert_healthy(stocked)


def test_a_link_without_a_blob_is_found(stocked: Stocked) -> None:
    """A link that leads to no blob is a problem, and a repair forgets it."""
    blob = random_blob()
    push_blob(stocked.wire, "base", blob)
    for table in ("extents", "blobs"):
        stocked.change(f"DELETE FROM {table} WHERE digest = ?", blob.digest)
    stocked.blob_file(blob.digest).unlink()

    assert findings(stocked, code=1) == [("link-broken", blob.digest, False)]
    assert findings(stocked, "--repair", code=0) == [("link-broken", blob.digest, True)]
    assert_healthy(stocked)


def test_orphans_are_notes(stocked: Stocked) -> None:
    """A file that no blob uses is no problem; a fresh one is an upload under way."""
    blob = random_blob()
    shard = stocked.registry.root / "blobs" / "sha256" / blob.digest[7:9]
    (shard / f"{blob.digest[7:]}.young").write_bytes(blob.payload)
    (shard / "readme.txt").write_text("not ours")

    assert findings(stocked, code=0) == []


def test_a_damaged_manifest_is_closed_and_healed(stocked: Stocked) -> None:
    """A manifest that does not hash to its digest is not served any more; a push heals it."""
    digest = stocked.image.manifest.digest
    stocked.change(
        "UPDATE manifests SET payload = CAST(payload || ' ' AS BLOB) WHERE repository_id = "
        "(SELECT id FROM repositories WHERE name = 'base')"
    )

    assert findings(stocked, code=1) == [("manifest-damaged", digest, False)]
    found = findings(stocked, "--repair", code=1)
    assert found == [("manifest-damaged", digest, True), ("tag-dangling", digest, False)]
    assert stocked.wire.get(manifest_path("base", "1.0")).status == 404
    assert stocked.events("manifest.quarantined") == [("base", digest)]
    heal(stocked)
    assert_healthy(stocked)


def test_a_dangling_tag_is_found(stocked: Stocked) -> None:
    """A tag whose manifest is gone is named."""
    stocked.change(
        "UPDATE manifests SET deleted_at = 1 WHERE repository_id = "
        "(SELECT id FROM repositories WHERE name = 'base')"
    )
    outcome = stocked.commands.run("check")

    assert outcome.code == 1
    assert "base:1.0 points at" in outcome.text


def test_foreign_layers_are_not_missed(stocked: Stocked) -> None:
    """A layer that clients may leave out is not a missing reference."""
    foreign = random_blob(media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    config = image_config([])
    manifest = image_manifest(config, [foreign])
    push_blob(stocked.wire, "windows", config)
    push_manifest(stocked.wire, "windows", manifest, "1")

    assert findings(stocked, code=0) == []


def test_a_check_makes_no_registry(stocked: Stocked) -> None:
    """Where there is no registry the check says so, and does not make one."""
    stocked.registry.stop()
    shutil.rmtree(stocked.registry.root)
    outcome = stocked.commands.run("check")

    assert outcome.code == 2
    assert "there is no registry in" in outcome.errors
    assert not stocked.registry.root.exists()


def test_a_damaged_database_is_said(stocked: Stocked) -> None:
    """A file that is no database ends the check with a sentence."""
    stocked.registry.stop()
    for file in stocked.registry.root.glob("moorage.db*"):
        file.write_bytes(b"no database" * 1000)
    outcome = stocked.commands.run("check")

    assert outcome.code == 2
    assert "moorage.db cannot be used" in outcome.errors
