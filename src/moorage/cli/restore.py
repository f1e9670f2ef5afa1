# SPDX-License-Identifier: Apache-2.0
"""`moorage restore`: an empty registry filled from a backup.

A thin door to `moorage.lifecycle`. What is missing goes to standard output, progress to standard
error.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.cli.backup import JSONOption, parse_rate
from moorage.cli.opening import DONE, FOUND, ConfigOption, run_command, settings_for

if TYPE_CHECKING:
    from moorage.lifecycle.restore import RestoreReport


def command(
    source: Path,
    /,
    *,
    config: ConfigOption = None,
    rate: str | None = None,
    as_json: JSONOption = False,
) -> int:
    """Fill an empty registry from a backup.

    The registry may have another database and another store than the one that was backed up, and
    must not be running. Every digest is verified on the way. If it is stopped, start it again: it
    goes on. Exit code 0: everything was restored; 1: all but some blobs, which are named; 2:
    nothing was restored.

    Parameters
    ----------
    source
        The folder of a backup.
    rate
        Write at most so much a second, for example 20MiB.
    as_json
        One JSON object that tells what was restored.
    """
    return run_command("restore", _restore(source, config, rate, as_json=as_json))


async def _restore(source: Path, config: Path | None, rate: str | None, *, as_json: bool) -> int:
    from moorage.cli.progress import shown_progress
    from moorage.ground import build_database, build_store
    from moorage.lifecycle.backup_folder import BackupFolder
    from moorage.lifecycle.opening import opened
    from moorage.lifecycle.pace import Pace
    from moorage.lifecycle.restore import Restore, RestoreReport

    pace = Pace(parse_rate(rate))
    folder = BackupFolder(source)
    folder.head()
    settings = settings_for(config, must_exist=False)
    database, store = build_database(settings), build_store(settings)
    report = RestoreReport(_ignore if as_json else _print)
    with tempfile.TemporaryDirectory(prefix="moorage-") as scratch:
        async with opened(database, store):
            with shown_progress(silent=as_json) as progress:
                restore = Restore(database, store, folder, pace, progress, report, Path(scratch))
                await restore.run()
    _tell(report, as_json=as_json)
    return FOUND if report.missing else DONE


def _ignore(message: str) -> None:
    """What is missing is in the report too."""


def _print(message: str) -> None:
    print(f"missing: {message}", flush=True)  # noqa: T201 (what the command is for)


def _tell(report: RestoreReport, *, as_json: bool) -> None:
    from moorage.cli.wording import counted, size_text

    if as_json:
        document = {
            "rows": report.rows,
            "blobs": report.blobs,
            "bytes": report.bytes,
            "present": report.present,
            "missing": report.missing,
        }
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    print(  # noqa: T201 (what the command is for)
        f"restored {counted(report.rows.get('manifests', 0), 'manifest')} and "
        f"{counted(report.blobs, 'blob')} ({size_text(report.bytes)}), "
        f"{counted(report.present, 'blob')} of which the store had already; "
        f"{len(report.missing)} missing"
    )
