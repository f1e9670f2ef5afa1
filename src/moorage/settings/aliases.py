# SPDX-License-Identifier: Apache-2.0
"""Sections that distribution knows by two names: read as if the name of ours had been written.

The invariant: a section under both names is left as it is, so that one of them is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.settings.document import Section
from moorage.settings.elsewhere import ALIASES
from moorage.settings.leaves import environment_name

if TYPE_CHECKING:
    from collections.abc import Mapping


def rename_aliases(document: Section) -> None:
    """Give sections of the document the names of ours."""
    for alias, name in ALIASES.items():
        *path, old = alias.split(".")
        new = name.rpartition(".")[2]
        section: object = document
        for key in path:
            section = section.entries.get(key) if isinstance(section, Section) else None
        if not isinstance(section, Section) or old not in section.entries or new in section.entries:
            continue
        section.entries[new] = section.entries.pop(old)
        if old in section.key_origins:
            section.key_origins[new] = section.key_origins.pop(old)


def rename_variables(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables as they would be called by the names of ours, which win if both are set."""
    renamed = dict(environ)
    for alias, name in ALIASES.items():
        old = environment_name(tuple(alias.split(".")))
        new = environment_name(tuple(name.split(".")))
        for variable in environ:
            if variable == old or variable.startswith(old + "_"):
                renamed.setdefault(new + variable.removeprefix(old), renamed.pop(variable))
    return renamed
