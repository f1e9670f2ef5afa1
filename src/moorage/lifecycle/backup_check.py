# SPDX-License-Identifier: Apache-2.0
"""Whether a backup is what it says: its catalogue whole, every blob of it there and sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.lifecycle.backup_folder import DamagedCopy
from moorage.lifecycle.catalogue_file import read_catalogue, read_table
from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid, Unavailable

if TYPE_CHECKING:
    from moorage.lifecycle.backup import BackupReport
    from moorage.lifecycle.backup_folder import BackupFolder
    from moorage.lifecycle.table_text import Rows
    from moorage.observe.progress import Progress


async def check_backup(
    folder: BackupFolder, progress: Progress, report: BackupReport
) -> BackupReport:
    """Read all of a backup; what is wrong is in the report's `missing`.

    Raises:
        Unavailable: there is no complete backup, or its catalogue is damaged.
    """
    head = folder.head()
    catalogue = folder.catalogue(head)
    for found in read_catalogue(catalogue):
        report.rows[found.table] = report.rows.get(found.table, 0) + len(found.rows)
        if found.table == "manifests":
            _check_manifests(found, report)
    if report.rows != head.rows:
        raise Unavailable("the backup is damaged: its catalogue has not the rows that it had")
    if not head.with_blobs:
        return report
    progress.begin("reading blobs", head.bytes, "bytes")
    lost = set(head.missing)
    for digest, size in read_table(catalogue, "blobs", "digest", "size"):
        if digest not in lost:
            wrong = await _wrong(folder, str(digest), progress)
            if wrong:
                report.missing.append(str(digest))
                report.told(wrong)
                continue
            report.blobs += 1
            report.bytes += int(str(size))
    return report


def _check_manifests(found: Rows, report: BackupReport) -> None:
    for text, payload in found.picked("digest", "payload"):
        digest = Digest(str(text))
        if not isinstance(payload, bytes) or Digest.of(payload, digest.algorithm) != digest:
            report.missing.append(digest)
            report.told(f"the manifest {digest} is damaged")


async def _wrong(folder: BackupFolder, digest: str, progress: Progress) -> str:
    try:
        async for piece in folder.read(Digest.parse(digest)):
            progress.advance(len(piece))
    except KeyError:
        return f"{digest} is missing"
    except (DamagedCopy, DigestInvalid) as error:
        return f"{digest} is damaged: {error}"
    return ""
