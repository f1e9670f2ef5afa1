# SPDX-License-Identifier: Apache-2.0
"""`moorage backup`: a consistent copy of the registry in a folder, made while it serves.

A thin door to `moorage.lifecycle`. What is missing goes to standard output, progress to standard
error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from moorage.cli.opening import (
    DONE,
    FOUND,
    CannotRun,
    ConfigOption,
    Switch,
    run_command,
    settings_for,
)
from moorage.settings import parse_size

if TYPE_CHECKING:
    from moorage.lifecycle.backup import BackupReport

JSONOption = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]


def command(
    destination: Path,
    /,
    *,
    config: ConfigOption = None,
    catalogue_only: Switch = False,
    rate: str | None = None,
    prune: Switch = False,
    check: Switch = False,
    as_json: JSONOption = False,
) -> int:
    """Copy the registry into a folder while it serves.

    Every digest is verified on the way. A second backup into the same folder copies only what is
    new, and until it is complete the one before remains. Exit code 0: everything was copied, or is
    sound; 1: the backup is complete but for blobs that the registry has lost, or is damaged; 2: the
    backup could not be made or read.

    Parameters
    ----------
    destination
        A new or empty folder, or one with an earlier backup.
    catalogue_only
        Copy no blobs: for stores that are backed up in another way.
    rate
        Read at most so much a second, for example 20MiB.
    prune
        When the backup is complete, delete the blobs that it does not need from the folder.
    check
        Make no backup; read the one that is there and verify all of it.
    as_json
        One JSON object that tells what was copied or verified.
    """
    if check:
        return run_command("backup", _check(destination, as_json=as_json))
    work = _backup(
        destination,
        config,
        rate,
        with_blobs=not catalogue_only,
        prune=prune,
        as_json=as_json,
    )
    return run_command("backup", work)


async def _backup(
    destination: Path,
    config: Path | None,
    rate: str | None,
    *,
    with_blobs: bool,
    prune: bool,
    as_json: bool,
) -> int:
    from moorage import __version__
    from moorage.app import build_heart
    from moorage.cli.progress import shown_progress
    from moorage.lifecycle.backup import Backup, BackupReport
    from moorage.lifecycle.backup_folder import BackupFolder
    from moorage.lifecycle.opening import opened
    from moorage.lifecycle.pace import Pace

    pace = Pace(parse_rate(rate))
    folder = BackupFolder(destination)
    database, store, _ = build_heart(settings_for(config), must_exist=True)
    report = BackupReport(_ignore if as_json else _print)
    async with opened(database, store):
        with folder.opened_for_writing(), shown_progress(silent=as_json) as progress:
            backup = Backup(database, store, folder, pace, progress, report)
            await backup.run(__version__, with_blobs=with_blobs, prune=prune)
    _tell(report, f"is in {destination}", as_json=as_json)
    return FOUND if report.missing else DONE


async def _check(destination: Path, *, as_json: bool) -> int:
    from moorage.cli.progress import shown_progress
    from moorage.lifecycle.backup import BackupReport
    from moorage.lifecycle.backup_check import check_backup
    from moorage.lifecycle.backup_folder import BackupFolder

    report = BackupReport(_ignore if as_json else _print)
    with shown_progress(silent=as_json) as progress:
        await check_backup(BackupFolder(destination), progress, report)
    _tell(report, "is sound" if not report.missing else "is damaged", as_json=as_json)
    return FOUND if report.missing else DONE


def parse_rate(rate: str | None) -> int | None:
    """Bytes a second.

    Raises:
        CannotRun: it is no size.
    """
    if rate is None:
        return None
    try:
        size = parse_size(rate)
    except ValueError as error:
        raise CannotRun(f"--rate {rate}: {error}") from None
    if size <= 0:
        raise CannotRun(f"--rate {rate}: nothing would ever be copied")
    return size


def _ignore(message: str) -> None:
    """What is missing is in the report too."""


def _print(message: str) -> None:
    print(f"missing: {message}", flush=True)  # noqa: T201 (what the command is for)


def _tell(report: BackupReport, what: str, *, as_json: bool) -> None:
    from moorage.cli.wording import counted, size_text

    if as_json:
        document = {
            "rows": report.rows,
            "blobs": report.blobs,
            "bytes": report.bytes,
            "newBlobs": report.new_blobs,
            "newBytes": report.new_bytes,
            "pruned": report.pruned,
            "missing": report.missing,
        }
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    new = f", {size_text(report.new_bytes)} of them copied now" if report.new_blobs else ""
    print(  # noqa: T201 (what the command is for)
        f"the backup {what}: {counted(report.rows.get('repositories', 0), *_REPOSITORIES)}, "
        f"{counted(report.rows.get('manifests', 0), 'manifest')}, "
        f"{counted(report.blobs, 'blob')} ({size_text(report.bytes)}{new}), "
        f"{len(report.missing)} missing"
    )


_REPOSITORIES = ("repository", "repositories")
