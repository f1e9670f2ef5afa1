# SPDX-License-Identifier: Apache-2.0
"""Files that no blob uses, once they are old enough to be told from an upload under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from moorage.app import build_heart
from moorage.content.changes import Actor
from moorage.events.log import EventLog
from moorage.lifecycle.check import Check, CheckOptions
from moorage.lifecycle.opening import opened
from moorage.lifecycle.repair import Repair
from moorage.observe.progress import SilentProgress
from moorage.settings import load
from tests.support.images import random_blob

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.lifecycle.findings import Finding


async def check(root: Path, *, repair: bool) -> list[Finding]:
    """Check an empty registry without the hour of grace."""
    environ = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(root)}
    database, store, _ = build_heart(load(None, environ).settings)
    options = CheckOptions(required=frozenset({"config", "layer"}), orphan_grace=0)
    found: list[Finding] = []
    async with opened(database, store):
        mend = Repair(database, store, EventLog(), Actor("test")) if repair else None
        report = await Check(database, store, options, SilentProgress(), found.append, mend).run()
    assert report.findings == found
    return found


def test_an_orphan_is_noted_and_kept(tmp_path: Path) -> None:
    """A whole file that nobody needs is a note, and not even a repair touches it."""
    blob = random_blob()
    file = tmp_path / "blobs" / "sha256" / blob.digest[7:9] / f"{blob.digest[7:]}.left"
    file.parent.mkdir(parents=True)
    file.write_bytes(blob.payload)
    (finding,) = asyncio.run(check(tmp_path, repair=True))

    assert (finding.kind, finding.digest, finding.size) == ("blob-orphan", blob.digest, blob.size)
    assert (finding.is_problem, finding.repair) == (False, "")
    assert file.exists()


def test_a_damaged_orphan_goes_to_the_quarantine(tmp_path: Path) -> None:
    """A file that nobody uses and that hashes to something else is set aside by a repair."""
    blob = random_blob()
    file = tmp_path / "blobs" / "sha256" / blob.digest[7:9] / f"{blob.digest[7:]}.left"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"cut off")

    (noted,) = asyncio.run(check(tmp_path, repair=False))
    assert "hashes to" in noted.message
    assert file.exists()
    (moved,) = asyncio.run(check(tmp_path, repair=True))
    assert moved.repair.startswith("moved to")
    assert [each.read_bytes() for each in (tmp_path / "quarantine").iterdir()] == [b"cut off"]
