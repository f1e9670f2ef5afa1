# SPDX-License-Identifier: Apache-2.0
"""Options of the command line laid over the document, where they win over file and environment.

Only puts values in their places: they are read and checked with all others. The invariant: an
option can say nothing that a file could not, and the origin of its value is its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from moorage.settings.document import Scalar, Section, is_empty

if TYPE_CHECKING:
    from collections.abc import Mapping


class Option(NamedTuple):
    """An option as it was given: `--workers`, 4."""

    name: str
    value: int | str


def apply_options(document: Section, options: Mapping[str, Option]) -> None:
    """Put each option where its dotted key says."""
    for dotted, option in options.items():
        *sections, key = dotted.split(".")
        section: Section | None = document
        for name in sections:
            section = _section_at(section, name, option) if section is not None else None
        if section is not None:
            section.key_origins.pop(key, None)
            section.entries[key] = Scalar(str(option.value), option.value, option.name)


def _section_at(section: Section, name: str, option: Option) -> Section | None:
    """The section of that name, made where there is none; None: what is there is no section."""
    below = section.entries.get(name)
    if below is None or is_empty(below):
        below = section.entries[name] = Section({}, option.name)
    return below if isinstance(below, Section) else None
