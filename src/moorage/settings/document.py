# SPDX-License-Identifier: Apache-2.0
"""YAML as a tree in which every value knows where it was written.

Reads text into `Scalar`, `Listing` and `Section` nodes; what the keys mean is decided elsewhere.
The invariant: no node without an origin, no key written twice, and no text, however its anchors are
knotted, costs more than `MAX_NODES` nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moorage.settings.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

# Far above any real file (distribution's fully commented example has 11 KB and 150 values), far
# below what the "billion laughs" knots need to hurt.
MAX_BYTES = 1 << 20
MAX_NODES = 10_000
MAX_DEPTH = 32

YAML_TAG = "tag:yaml.org,2002:"
KNOWN_TAGS = frozenset(
    YAML_TAG + name
    for name in (
        ["bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp", "value"]
    )
)


@dataclass(slots=True)
class Scalar:
    """A single value: as written, and as YAML understands it."""

    text: str
    value: str | int | float | bool | None
    origin: str


@dataclass(slots=True)
class Listing:
    """A list."""

    items: list[Node]
    origin: str


@dataclass(slots=True)
class Section:
    """A map; keys in the order of writing."""

    entries: dict[str, Node]
    origin: str
    key_origins: dict[str, str] = field(default_factory=dict)

    def place(self, key: str) -> str:
        """Where the key itself was written."""
        return self.key_origins.get(key, self.entries[key].origin)


Node = Scalar | Listing | Section


def is_empty(node: Node) -> bool:
    """Whether the node is a null: `key:` with nothing behind it."""
    return isinstance(node, Scalar) and node.value is None


def read_document(text: str, name: str) -> Node | None:
    """The one document of a YAML text; None when there is nothing in it."""
    import yaml

    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SettingsError([f"{name} is larger than {MAX_BYTES >> 20} MiB: is it settings?"])
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        raise SettingsError([f"{place}: not valid YAML: {error.problem}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError([f"{name}: not valid YAML: {reason}"]) from None
    if root is None:
        return None
    return _Reader(lambda node: f"{name}:{node.start_mark.line + 1}").read(root)


def read_value(text: str, origin: str) -> Node:
    """The value of an environment variable: one YAML value, all of it from `origin`."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        # The value is not repeated: it may be a password that was meant for another key.
        problem = f"{origin}: the value is not valid YAML: quote it if it is a plain text"
        raise SettingsError([problem]) from None
    if root is None:
        return Scalar("", None, origin)
    return _Reader(lambda _: origin).read(root)


class _Reader:
    """Turns composed YAML nodes into ours and counts what it makes."""

    def __init__(self, origin_of: Callable[[yaml.Node], str]) -> None:
        from yaml.constructor import SafeConstructor

        self._constructor = SafeConstructor()
        self._origin_of = origin_of
        self._count = 0

    def read(self, node: yaml.Node, depth: int = 0) -> Node:
        """The node with everything below it; aliases are written out."""
        import yaml

        origin = self._origin_of(node)
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            problem = f"{origin}: too much: at most {MAX_NODES} values, {MAX_DEPTH} levels deep"
            raise SettingsError([problem])
        if node.tag not in KNOWN_TAGS:
            raise SettingsError([f"{origin}: the YAML tag {node.tag} means nothing here: drop it"])
        if isinstance(node, yaml.MappingNode):
            return self._read_map(node, origin, depth)
        if isinstance(node, yaml.SequenceNode):
            return Listing([self.read(item, depth + 1) for item in node.value], origin)
        return self._read_scalar(node, origin)

    def _read_map(self, node: yaml.MappingNode, origin: str, depth: int) -> Section:
        section = Section({}, origin)
        merged: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = self._origin_of(key_node)
            if not isinstance(key_node.value, str):
                raise SettingsError([f"{place}: a key must be a plain word"])
            value = self.read(value_node, depth + 1)
            if key_node.tag == YAML_TAG + "merge":
                _merge(merged, value)
                continue
            key = key_node.value
            if key in section.entries:
                first = section.place(key)
                raise SettingsError([f"{place}: {key} is written twice (first at {first})"])
            section.entries[key] = value
            section.key_origins[key] = place
        for key, value in merged.items():
            section.entries.setdefault(key, value)
        return section

    def _read_scalar(self, node: yaml.Node, origin: str) -> Scalar:
        text = str(node.value)
        value: str | int | float | bool | None = text
        if node.tag in {YAML_TAG + name for name in ("null", "bool", "int", "float")}:
            try:
                value = self._constructor.construct_object(node)
            except ValueError:
                raise SettingsError([f"{origin}: {text!r} is not a number"]) from None
        return Scalar(text, value, origin)


def _merge(merged: dict[str, Node], value: Node) -> None:
    """YAML's `<<`: what is merged first wins over what is merged later."""
    for part in value.items if isinstance(value, Listing) else [value]:
        if not isinstance(part, Section):
            raise SettingsError([f"{part.origin}: << takes a map or a list of maps"])
        for key, entry in part.entries.items():
            merged.setdefault(key, entry)
