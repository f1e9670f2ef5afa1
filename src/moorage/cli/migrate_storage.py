# SPDX-License-Identifier: Apache-2.0
"""`moorage migrate storage`: blobs from one store to another, while they are served from both.

A thin door to `moorage.transfer.moving_store`. Progress goes to standard error, the sum and what
stays behind to standard output.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moorage.cli.backup import parse_rate
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
    from moorage.settings import Settings
    from moorage.transfer.moving_store import StoreMoveOptions, StoreMoveReport

StoreKind = Literal["filesystem", "s3", "gcs", "azure"]


def command(
    source: StoreKind,
    target: StoreKind,
    /,
    *,
    config: ConfigOption = None,
    rate: str | None = None,
    dry_run: Switch = False,
    delete: Switch = False,
) -> int:
    """Move all blobs from one store to another, while the registry serves.

    First restart the registry with the new store and, as storage.previous, the old one. An
    interrupted move is simply started again and goes on. Exit code 0: everything is in the new
    store; 1: something is not, and is named; 2: the move could not go on.

    Parameters
    ----------
    source
        The kind of the old store, which the configuration must have as storage.previous.
    target
        The kind of the new store.
    rate
        Copy at most so much a second, for example 50MiB/s.
    dry_run
        Only count what would be moved.
    delete
        Let the registry delete what was moved from the old store, a day later, when nobody can
        still be reading it. Otherwise the old store keeps everything.
    """
    from moorage.transfer.moving_store import StoreMoveOptions

    options = StoreMoveOptions(delete=delete, dry_run=dry_run)
    return run_command("migrate storage", _migrate(source, target, config, rate, options))


async def _migrate(
    source: StoreKind,
    target: StoreKind,
    config: Path | None,
    rate: str | None,
    options: StoreMoveOptions,
) -> int:
    from moorage.app import build_heart
    from moorage.cli.progress import shown_progress
    from moorage.lifecycle.opening import opened
    from moorage.lifecycle.pace import Pace
    from moorage.transfer.moving_store import StoreMove, StoreMoveReport

    pace = Pace(parse_rate(rate.removesuffix("/s") if rate else None))
    settings = settings_for(config)
    _refuse_wrong_way(source, target, settings)
    database, store, _ = build_heart(settings, must_exist=True)
    report = StoreMoveReport(_print_left)
    async with opened(database, store):
        with shown_progress(silent=False) as progress:
            await StoreMove(database, store, options, pace, progress, report).run()
    if options.dry_run:
        _tell_sum(report, "would move")
        return FOUND if report.left else DONE
    _tell_sum(report, "moved")
    _tell_next(report, settings, deleted=options.delete)
    return FOUND if report.left or report.remaining else DONE


def _refuse_wrong_way(source: StoreKind, target: StoreKind, settings: Settings) -> None:
    """Move only where the configuration leads, so that nobody moves the wrong way.

    Raises:
        CannotRun: it leads elsewhere.
    """
    storage = settings.storage
    if storage.previous.driver is None:
        raise CannotRun(
            f"the configuration has no storage.previous: make storage.{target} the new store and "
            f"storage.previous.{source} the old one, and restart the registry"
        )
    if (source, target) != (storage.previous.driver, storage.driver):
        raise CannotRun(
            f"the configuration moves from {storage.previous.driver} (storage.previous) to "
            f"{storage.driver}, not from {source} to {target}"
        )


def _print_left(digest: str, reason: str) -> None:
    print(f"left behind: {digest}: {reason}", flush=True)  # noqa: T201 (what the command is for)


def _tell_sum(report: StoreMoveReport, word: str) -> None:
    from moorage.cli.wording import counted, size_text

    print(  # noqa: T201
        f"{word} {counted(report.blobs, 'blob')} ({size_text(report.bytes)}) and "
        f"{counted(report.records, 'record')}; in the new store before: "
        f"{counted(report.present, 'blob')}; left behind: {len(report.left)}"
    )


def _tell_next(report: StoreMoveReport, settings: Settings, *, deleted: bool) -> None:
    """What is to be done now."""
    from moorage.cli.wording import counted

    if report.left:
        print(  # noqa: T201
            "keep storage.previous, run `moorage check`, push the images again that it names, and "
            "start this command again"
        )
        return
    if report.remaining:
        print(  # noqa: T201
            f"{counted(report.remaining, 'blob')} came to the old store meanwhile: restart every "
            "process of the registry with the new configuration, and start this command again"
        )
        return
    if report.uploads:
        print(  # noqa: T201
            f"{counted(report.uploads, 'upload')} under way began in the old store: wait until "
            "they have ended, or let their clients push again"
        )
    if deleted:
        print(  # noqa: T201
            "everything is in the new store; keep storage.previous until the registry has deleted "
            "what was moved (a day), then remove it and restart"
        )
        return
    print(  # noqa: T201
        "everything is in the new store: remove storage.previous from the configuration and "
        f"restart; then nothing needs {_old_place(settings)} any more"
    )


def _old_place(settings: Settings) -> str:
    """What can be removed by hand when all is done."""
    previous = settings.storage.previous
    if previous.filesystem is not None:
        root = previous.filesystem.rootdirectory
        return f"{root / 'blobs'}, {root / 'uploads'} and {root / 'records'}"
    store = previous.s3 or previous.gcs or previous.azure
    name = getattr(store, "bucket", None) or getattr(store, "container", "")
    prefix = store.rootdirectory.strip("/") if store is not None else ""
    folders = [
        f"{prefix}/{each}/" if prefix else f"{each}/"
        for each in ("blobs", "manifests", "snapshots")
    ]
    return f"the objects below {' and '.join(folders)} in {name}"
