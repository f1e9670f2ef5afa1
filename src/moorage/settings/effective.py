# SPDX-License-Identifier: Apache-2.0
"""The settings in effect, written for people (YAML with origins) and for programs.

The invariant: the YAML can be loaded again and gives the same settings, except that secrets are
hidden in every form.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moorage.settings.leaves import Branch, Leaf
from moorage.settings.tree import shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from moorage.settings.kinds import Plain
    from moorage.settings.loading import Loaded

HIDDEN = "(hidden)"
INDENT = "  "
STORES = frozenset(("inmemory", "s3", "gcs", "azure"))


def as_yaml(loaded: Loaded) -> str:
    """All settings, each with where its value came from as a comment."""
    lines = _lines(_plain(shape(), loaded.settings), loaded.sources, (), _leaf_names())
    return "".join(line + "\n" for line in lines)


def as_plain(loaded: Loaded) -> dict[str, Plain]:
    """Settings, origins by dotted key, and warnings, for JSON."""
    return {
        "settings": _plain(shape(), loaded.settings),
        "sources": dict(loaded.sources),
        "warnings": list(loaded.warnings),
    }


def flow(value: Plain) -> str:
    """The value as YAML on one line."""
    import yaml

    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    text = text.removesuffix("...\n").strip()
    # JSON is YAML; it keeps on one line what the other notation would fold.
    return json.dumps(value) if "\n" in text else text


def shown(leaf: Leaf, value: object) -> Plain:
    """The value of a setting as it may be seen."""
    if value is None:
        return None
    return HIDDEN if leaf.secret else leaf.kind.show(value)


def _plain(branch: Branch, section: object) -> dict[str, Plain]:
    """The section without its absent parts."""
    result: dict[str, Plain] = {}
    for name, child in branch.children.items():
        value: object = getattr(section, name)
        if isinstance(child, Leaf):
            result[name] = shown(child, value)
        elif value is not None:
            result[name] = _plain(child, value)
    if branch.path == ("storage",) and not STORES.isdisjoint(result):
        # Exactly one store may be written; the other is only there with its defaults.
        del result["filesystem"]
    if branch.path == ("database",) and "postgres" in result:
        del result["sqlite"]
    return result


def _leaf_names() -> frozenset[str]:
    return frozenset(leaf.dotted for leaf in shape().leaves())


def _lines(
    values: Mapping[str, Plain],
    sources: Mapping[str, str],
    path: tuple[str, ...],
    leaves: frozenset[str],
) -> Iterator[str]:
    indent = INDENT * len(path)
    for name, value in values.items():
        where = (*path, name)
        dotted = ".".join(where)
        if dotted in leaves:
            yield f"{indent}{name}: {flow(value)}  # {sources[dotted]}"
        elif isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from _lines(value, sources, where, leaves)
        else:
            yield f"{indent}{name}: {{}}"
