# SPDX-License-Identifier: Apache-2.0
"""`moorage check`: whether all content is there and is what it should be, and its repair.

A thin door to `moorage.lifecycle`. Findings go to standard output, progress to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
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

if TYPE_CHECKING:
    from moorage.lifecycle.findings import CheckReport, Finding

MAX_THREADS = 64


def command(
    *,
    config: ConfigOption = None,
    quick: Switch = False,
    repair: Switch = False,
    threads: int | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Verify every blob and every manifest's references.

    Works while the registry serves. Exit code 0: nothing is wrong, or all of it was repaired; 1:
    problems were found and remain; 2: the check could not run.

    Parameters
    ----------
    quick
        Compare only sizes and the catalogue; read no blob.
    repair
        Move damaged files to the folder quarantine in the registry's root, forget what is lost so
        that the next push stores it, and link again what is there. Nothing is deleted.
    threads
        How many blobs are read at a time; by default one for each processor.
    as_json
        One JSON object with all findings instead of lines.
    """
    return run_command(
        "check",
        _check(config, quick=quick, repair=repair, threads=threads, as_json=as_json),
    )


async def _check(
    config: ConfigOption, *, quick: bool, repair: bool, threads: int | None, as_json: bool
) -> int:
    from moorage.app import build_heart, manifest_rules
    from moorage.cli.progress import shown_progress
    from moorage.content.changes import Actor
    from moorage.events.log import EventLog
    from moorage.lifecycle.check import Check, CheckOptions
    from moorage.lifecycle.opening import opened
    from moorage.lifecycle.repair import Repair

    count = threads if threads is not None else min(os.cpu_count() or 1, MAX_THREADS)
    if not 1 <= count <= MAX_THREADS:
        raise CannotRun(f"--threads is {count}; use 1 to {MAX_THREADS}")
    settings = settings_for(config)
    database, store, _ = build_heart(settings, must_exist=True)
    options = CheckOptions(
        required=manifest_rules(settings.validation).required, quick=quick, threads=count
    )
    async with opened(database, store):
        with shown_progress(silent=as_json) as progress:
            mend = Repair(database, store, EventLog(), Actor("moorage check"))
            check = Check(
                database,
                store,
                options,
                progress,
                _ignore if as_json else _print,
                mend if repair else None,
            )
            report = await check.run()
    _write_json(report) if as_json else _summarize(report, quick=quick)
    return FOUND if report.problems else DONE


def _ignore(finding: Finding) -> None:
    """The findings are in the report too."""


def _print(finding: Finding) -> None:
    word = "repaired" if finding.repair else "problem" if finding.is_problem else "note"
    print(f"{word}: {finding.message}")  # noqa: T201 (what the command is for)
    if finding.repair:
        print(f"    {finding.repair}", flush=True)  # noqa: T201


def _summarize(report: CheckReport, *, quick: bool) -> None:
    from moorage.cli.wording import counted, size_text

    looked = "sizes compared" if quick else f"{size_text(report.bytes)} read"
    print(  # noqa: T201 (what the command is for)
        f"{counted(report.blobs, 'blob')} ({looked}), {counted(report.manifests, 'manifest')}, "
        f"{counted(report.tags, 'tag')}: {counted(report.problems, 'problem')}, "
        f"{report.repaired} repaired, {counted(report.notes, 'note')}"
    )


def _write_json(report: CheckReport) -> None:
    document = {
        "blobs": report.blobs,
        "bytes": report.bytes,
        "manifests": report.manifests,
        "tags": report.tags,
        "problems": report.problems,
        "repaired": report.repaired,
        "notes": report.notes,
        "findings": [
            {**asdict(finding), "problem": finding.is_problem} for finding in report.findings
        ],
    }
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
