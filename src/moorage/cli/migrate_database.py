# SPDX-License-Identifier: Apache-2.0
"""`moorage migrate database`: the catalogue from its SQLite file to PostgreSQL, while it is served.

A thin door to `moorage.transfer.moving_catalogue`. Progress goes to standard error, the sum to
standard output.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.cli.opening import (
    DONE,
    CannotRun,
    ConfigOption,
    Switch,
    refuse_option,
    run_command,
)
from moorage.settings import SettingsError, load

if TYPE_CHECKING:
    from moorage.settings import Settings
    from moorage.transfer.moving_catalogue import MoveReport
    from moorage.transfer.moving_ends import PostgresAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes:
    """The arguments of one call."""

    sqlite: Path | None
    postgres: str | None
    rate: float | None
    abort: bool


def command(
    sqlite: Path | None = None,
    postgres: str | None = None,
    /,
    *,
    config: ConfigOption = None,
    rate: float | None = None,
    abort: Switch = False,
) -> int:
    """Move the catalogue from SQLite to PostgreSQL, while the registry serves.

    First restart the registry with database.postgres and database.previous.sqlite.path; it goes on
    with the SQLite file, and follows when everything is moved. Pushes wait for a moment then. An
    interrupted move is simply started again and goes on. Exit code 0: PostgreSQL is the truth;
    2: it is not, and the registry is as it was.

    Parameters
    ----------
    sqlite
        The SQLite file; by default the one that the configuration names as database.previous.
    postgres
        The address of PostgreSQL, postgresql://user:password@host/database; by default that of the
        configuration.
    rate
        Copy and compare no more than so many rows a second.
    abort
        End a move that is not complete: the SQLite file stays the truth, PostgreSQL is emptied.
    """
    wishes = _Wishes(sqlite=sqlite, postgres=postgres, rate=rate, abort=abort)
    return run_command("migrate database", _migrate(wishes, config))


async def _migrate(wishes: _Wishes, config: Path | None) -> int:
    from moorage.cli.progress import shown_progress
    from moorage.transfer.moving_ends import abort_catalogue_move, move_catalogue
    from moorage.transfer.report import CannotTransfer

    if wishes.rate is not None and wishes.rate <= 0:
        raise CannotRun(f"--rate is {wishes.rate:g}; use a number of rows a second above 0")
    refuse_option(*(str(given) for given in (wishes.sqlite, wishes.postgres) if given))
    try:
        settings = load(config, os.environ).settings
    except SettingsError as error:
        raise CannotRun(str(error)) from None
    path = _file(wishes.sqlite, settings)
    options = _options(wishes.postgres, settings)
    try:
        if wishes.abort:
            note = await abort_catalogue_move(path, options)
            print(f"the move was ended; the registry goes on with {path}{note}")  # noqa: T201
            return DONE
        with shown_progress(silent=False) as progress:
            report = await move_catalogue(path, options, progress, rate=wishes.rate)
    except CannotTransfer as error:
        raise CannotRun(str(error)) from None
    _summarize(report, settings)
    return DONE


def _file(given: Path | None, settings: Settings) -> Path:
    """The SQLite file.

    Raises:
        CannotRun: it is not named, not there, or another one than the configuration's.
    """
    previous = settings.database.previous.sqlite
    configured = None if previous is None else previous.path
    path = given or configured
    if path is None:
        raise CannotRun(
            "which file? Name it, or set database.previous.sqlite.path and restart the registry, "
            "which has to follow"
        )
    if not path.is_file():
        raise CannotRun(f"{path} is no file")
    if configured is not None and not (configured.exists() and path.samefile(configured)):
        raise CannotRun(
            f"the configuration names {configured} as database.previous.sqlite.path, not {path}"
        )
    if configured is None:
        sys.stderr.write(
            "the configuration has no database.previous.sqlite.path: a registry that serves from "
            "this file must have been restarted with it\n"
        )
    return path


def _options(given: str | None, settings: Settings) -> PostgresAddress:
    """How to reach PostgreSQL.

    Raises:
        CannotRun: it is not named, or another one than the configuration's.
    """
    from moorage.ground import postgres_options
    from moorage.settings.sections.database import Postgres

    configured = settings.database.postgres
    if configured is None and given is None:
        raise CannotRun(
            "which PostgreSQL? Set database.postgres and restart the registry, or name the address"
        )
    if configured is None:
        return postgres_options(Postgres(url=given or ""))
    if given is not None and given != configured.url:
        raise CannotRun(
            "the address is another one than database.postgres.url of the configuration, where the "
            "registry would look for the catalogue: leave it out, or correct one of them"
        )
    return postgres_options(configured)


def _summarize(report: MoveReport, settings: Settings) -> None:
    from moorage.cli.wording import counted

    follow_up = (
        "remove database.previous from the configuration"
        if settings.database.previous.sqlite is not None
        else "set database.postgres for the registry"
    )
    if report.was_moved:
        print(f"the catalogue is in PostgreSQL already; {follow_up}")  # noqa: T201
        return
    rows = report.rows
    print(  # noqa: T201
        f"moved {counted(sum(rows.values()), 'row')} "
        f"({counted(rows.get('repositories', 0), 'repository', 'repositories')}, "
        f"{counted(rows.get('manifests', 0), 'manifest')}, "
        f"{counted(rows.get('tags', 0), 'tag')}), compared; "
        f"{counted(report.changes, 'row')} changed meanwhile; pushes waited "
        f"{report.frozen_seconds * 1000:.0f} ms\n"
        f"PostgreSQL is the truth now; {follow_up}"
    )
