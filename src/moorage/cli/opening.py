# SPDX-License-Identifier: Apache-2.0
"""How commands that work on a registry's data find it, and how they say that they cannot.

Invariant: a command that only reads or mends never makes a registry where there was none.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from moorage.settings import SettingsError, load
from moorage.spec.errors import OCIError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from moorage.settings import Settings

DONE = 0
FOUND = 1
FAILED = 2

ConfigOption = Annotated[
    Path | None,
    Parameter(
        name=["--config", "-c"],
        help="The registry's configuration file; without it REGISTRY_CONFIGURATION_PATH, else "
        "defaults and environment, as for serve.",
    ),
]
Switch = Annotated[bool, Parameter(negative="", show_default=False)]


class CannotRun(Exception):
    """A command cannot do its work; the message tells a person why, and what to do."""


def settings_for(config: Path | None, *, must_exist: bool = True) -> Settings:
    """The settings of the registry that the command works on.

    Raises:
        CannotRun: they are wrong, or there is no such registry on this disk.
    """
    try:
        settings = load(config, os.environ).settings
    except SettingsError as error:
        raise CannotRun(str(error)) from None
    database = settings.sqlite_path
    if settings.storage.inmemory is not None:
        raise CannotRun(
            "this registry keeps everything in the memory of its process (storage.inmemory), "
            "where no other program can reach it"
        )
    # Whether there is a registry in a PostgreSQL database shows when it is opened.
    if must_exist and database is not None and not database.exists():
        raise CannotRun(
            f"there is no registry in {database.parent} ({database.name} is missing); "
            "name its configuration with --config"
        )
    return settings


def refuse_option(*words: str) -> None:
    """Refuse what looks like an option where names and files stand, `-` among them.

    Raises:
        CannotRun: with the word.
    """
    for word in words:
        if word.startswith("-") and word != "-":
            raise CannotRun(f"there is no option {word}; a file of this name is ./{word}")


def run_command(name: str, work: Coroutine[None, None, int]) -> int:
    """Run the work of a command and return its exit code; what stops it is said in a sentence."""
    try:
        return asyncio.run(work)
    except (CannotRun, OCIError) as error:
        reason = str(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        reason = f"{about}{error.strerror or error}"
    sys.stderr.write(f"moorage {name}: {reason}\n")
    return FAILED
