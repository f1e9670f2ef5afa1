# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a settings file, for editors and for checks before a roll-out.

Generated from the tree and from the tables of distribution's keys. The invariant: a file that loads
without an error is valid, as far as one setting at a time can say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.settings.elsewhere import ACCEPTED, ALIASES, REFUSED, REPLACED
from moorage.settings.environment import LOGLEVEL, SHORT_FORMS
from moorage.settings.leaves import Branch, Leaf
from moorage.settings.tree import shape

if TYPE_CHECKING:
    from moorage.settings.kinds import Plain

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Plain]:
    """The schema of the whole file."""
    tree = shape()
    root = _section(tree)
    properties = root["properties"]
    assert isinstance(properties, dict)
    properties[LOGLEVEL] = {"deprecated": True, "description": "The old name of log.level."}
    return {"$schema": DIALECT, "title": "Settings of Moorage", **root}


def _section(branch: Branch) -> dict[str, Plain]:
    properties: dict[str, Plain] = {
        name: _leaf(child) if isinstance(child, Leaf) else _section_or_word(child)
        for name, child in branch.children.items()
    }
    for dotted, accepted in ACCEPTED.items():
        name = _name_in(branch, dotted)
        if name is not None:
            text = f"Has no effect: {accepted.advice}."
            properties[name] = {"deprecated": True, "description": text}
    for dotted, advice in REFUSED.items():
        name = _name_in(branch, dotted)
        if name is not None:
            properties[name] = {"not": {}, "description": f"Refused: {advice}."}
    for alias, dotted in ALIASES.items():
        name = _name_in(branch, alias)
        if name is not None:
            properties[name] = properties[dotted.rpartition(".")[2]]
    result: dict[str, Plain] = {"type": ["object", "null"]}
    if branch.documentation:
        result["description"] = branch.documentation
    return {**result, "properties": properties, "additionalProperties": False}


def _section_or_word(branch: Branch) -> dict[str, Plain]:
    """A section, and the single word that distribution allows in its place."""
    section = _section(branch)
    if branch.dotted not in SHORT_FORMS:
        return section
    words: list[Plain] = [
        name for name, child in branch.children.items() if isinstance(child, Branch)
    ]
    return {"anyOf": [section, {"enum": [*words, "none"] if branch.dotted == "auth" else words}]}


def _leaf(leaf: Leaf) -> dict[str, Plain]:
    forms: list[Plain] = [leaf.kind.schema(), {"type": "null"}]
    replaced: list[Plain] = [value for dotted, value in REPLACED if dotted == leaf.dotted]
    if replaced:
        forms.append({"enum": replaced, "deprecated": True})
    result: dict[str, Plain] = {"description": leaf.documentation, "anyOf": forms}
    if leaf.default is not None:
        result["default"] = leaf.kind.show(leaf.default)
    return result


def _name_in(branch: Branch, dotted: str) -> str | None:
    """The last part of the key, if it belongs directly into the section."""
    section, _, name = dotted.rpartition(".")
    return name if section == branch.dotted else None
