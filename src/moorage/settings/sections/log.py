# SPDX-License-Identifier: Apache-2.0
"""The `log` section: what is written about the registry's work, and in which form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moorage.settings.compounds import MapOf
from moorage.settings.kinds import Boolean, Choice, Text
from moorage.settings.leaves import section, setting

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLog:
    """The line that is written for each request."""

    disabled: bool = setting(
        Boolean(),
        False,
        "Write no line for each request. Warnings and errors of the registry itself are still "
        "written.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Logs go to standard error."""

    level: Literal["error", "warn", "info", "debug"] = setting(
        Choice(("error", "warn", "info", "debug")),
        "info",
        "The least important level that is written. `debug` is for finding faults; no level "
        "shows secrets.",
    )
    formatter: Literal["auto", "text", "json", "logstash"] = setting(
        Choice(("auto", "text", "json", "logstash")),
        "auto",
        "The form of a line: `text` for people, `json` or `logstash` for collectors. `auto` writes "
        "text to a terminal and JSON to everything else.",
    )
    fields: Mapping[str, str] = setting(
        MapOf(Text(), "field name"),
        {},
        "Fields with fixed values that every line carries, for example the name of the "
        "environment.",
    )
    accesslog: AccessLog = section(AccessLog, "The line that is written for each request.")
