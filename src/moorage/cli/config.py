# SPDX-License-Identifier: Apache-2.0
"""`moorage config`: the settings in effect, their schema and their reference.

A thin door to `moorage.settings`. The invariant: what is asked for goes to standard output and can
be piped; warnings and errors go to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from moorage.settings import Loaded, SettingsError, listens_unsafely, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moorage.settings.kinds import Plain

FAILURE = 1


def command(
    file: Path | None = None,
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
    schema: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    reference: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Show the settings in effect and where each came from.

    Parameters
    ----------
    file
        The settings file; without it REGISTRY_CONFIGURATION_PATH, else defaults and environment.
    as_json
        Settings, origins and warnings as one JSON object.
    schema
        Print the JSON Schema of a settings file instead.
    reference
        Print the reference of all settings (Markdown) instead.
    """
    if sum((as_json, schema, reference)) > 1:
        return _fail(["choose one of --json, --schema and --reference"])
    if schema:
        from moorage.settings.schema import json_schema

        return _write_json(json_schema())
    if reference:
        from moorage.settings.reference import markdown

        sys.stdout.write(markdown())
        return 0
    try:
        loaded = load(file, os.environ)
    except SettingsError as error:
        return _fail(error.problems)
    return _write_effective(loaded, as_json=as_json)


def _write_effective(loaded: Loaded, *, as_json: bool) -> int:
    from moorage.settings.effective import as_plain, as_yaml

    unsafe = listens_unsafely(loaded.settings)
    if as_json:
        plain = as_plain(loaded)
        plain["unsafe"] = unsafe
        return _write_json(plain)
    for warning in (*loaded.warnings, *([unsafe] if unsafe else [])):
        sys.stderr.write(f"warning: {warning}\n")
    sys.stdout.write(as_yaml(loaded))
    return 0


def _write_json(value: Mapping[str, Plain]) -> int:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    return 0


def _fail(problems: list[str] | tuple[str, ...]) -> int:
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    return FAILURE
