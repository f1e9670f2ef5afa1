# SPDX-License-Identifier: Apache-2.0
"""`moorage rebuild`: a lost database put together again from what lies in the store.

A thin door to `moorage.lifecycle`. What is missing goes to standard output, progress to standard
error.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
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

if TYPE_CHECKING:
    from moorage.lifecycle.rebuilding import RebuildReport
    from moorage.lifecycle.snapshots import Snapshot
    from moorage.settings import Settings


def command(
    *,
    config: ConfigOption = None,
    dry_run: Switch = False,
    verify: Switch = False,
    trust_snapshot: Switch = False,
    without_snapshot: Switch = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Put a lost database together again from what lies in the store.

    Blobs and manifests come back, and repositories and tags as they were at the newest snapshot.
    The registry must not be running, and the database must be empty or missing. If it is stopped,
    start it again: it goes on. Exit code 0: everything was found; 1: the database was rebuilt, and
    something that it should have is missing; 2: nothing could be done.

    Parameters
    ----------
    dry_run
        Rebuild into a temporary file, tell what came of it, and throw it away.
    verify
        Read every blob and leave out what does not hash to its digest.
    trust_snapshot
        Use a snapshot although its signature cannot be verified. Whoever could write to the store
        could have moved tags in it.
    without_snapshot
        Use no snapshot: there will be no tags.
    as_json
        One JSON object that tells what was put together.
    """
    if trust_snapshot and without_snapshot:
        return run_command("rebuild", _refuse())
    options = _Options(
        dry_run=dry_run,
        verify=verify,
        trust=trust_snapshot,
        snapshot=not without_snapshot,
        as_json=as_json,
    )
    return run_command("rebuild", _rebuild(config, options))


async def _refuse() -> int:
    raise CannotRun("use either --trust-snapshot or --without-snapshot")


class _Options:
    """What was asked for."""

    def __init__(
        self, *, dry_run: bool, verify: bool, trust: bool, snapshot: bool, as_json: bool
    ) -> None:
        self.dry_run = dry_run
        self.verify = verify
        self.trust = trust
        self.snapshot = snapshot
        self.as_json = as_json


async def _rebuild(config: Path | None, options: _Options) -> int:
    from moorage.app import snapshot_key
    from moorage.cli.progress import shown_progress
    from moorage.content.changes import Actor
    from moorage.events.log import EventLog
    from moorage.ground import build_database, build_store
    from moorage.lifecycle.choosing_snapshot import choose_snapshot
    from moorage.lifecycle.opening import opened, record_keeper, scratch_database
    from moorage.lifecycle.rebuilding import Rebuild, RebuildReport

    settings = settings_for(config, must_exist=False)
    _require_store(settings)
    store = build_store(settings)
    keeper = record_keeper(store)
    report = RebuildReport(_ignore if options.as_json else _print)
    snapshot: Snapshot | None = None
    with ExitStack() as stack:
        if options.dry_run:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="moorage-"))
            database = scratch_database(Path(folder))
        else:
            database = build_database(settings)
        progress = stack.enter_context(shown_progress(silent=options.as_json))
        async with opened(database, store):
            rebuild = Rebuild(
                database, store, keeper, EventLog(), Actor("moorage rebuild"), progress, report
            )
            await rebuild.require_room()
            if options.snapshot:
                key = snapshot_key(settings)
                snapshot = await choose_snapshot(keeper, key, _warn, trust=options.trust)
            await rebuild.run(snapshot, verify=options.verify)
    _tell(report, snapshot, options)
    return FOUND if report.missing else DONE


def _require_store(settings: Settings) -> None:
    """Refuse to make a registry where there was none."""
    blobs = settings.storage.filesystem.rootdirectory / "blobs"
    if settings.storage.driver == "filesystem" and not blobs.is_dir():
        raise CannotRun(
            f"there is no registry in {blobs.parent} (the folder blobs is missing); name its "
            "configuration with --config"
        )


def _warn(message: str) -> None:
    sys.stderr.write(f"moorage rebuild: {message}\n")


def _ignore(message: str) -> None:
    """What is missing is in the report too."""


def _print(message: str) -> None:
    print(f"missing: {message}", flush=True)  # noqa: T201 (what the command is for)


def _tell(report: RebuildReport, snapshot: Snapshot | None, options: _Options) -> None:
    from moorage.cli.wording import counted, size_text
    from moorage.lifecycle.choosing_snapshot import when

    if options.as_json:
        document = {
            "snapshot": snapshot.head.taken_at if snapshot else None,
            "repositories": report.repositories,
            "blobs": report.blobs,
            "bytes": report.bytes,
            "unused": report.unused,
            "manifests": report.manifests,
            "tags": report.tags,
            "missing": report.missing,
        }
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    origin = f"the snapshot of {when(snapshot.head.taken_at)}" if snapshot else "no snapshot"
    done = "would have" if options.dry_run else "has"
    print(  # noqa: T201 (what the command is for)
        f"the database {done} {counted(report.repositories, 'repository', 'repositories')}, "
        f"{counted(report.tags, 'tag')} (from {origin}), {counted(report.manifests, 'manifest')} "
        f"and {counted(report.blobs, 'blob')} ({size_text(report.bytes)}); "
        f"{counted(len(report.missing), 'thing')} missing, "
        f"{counted(report.unused, 'blob')} of the store unused"
    )
