# SPDX-License-Identifier: Apache-2.0
"""The kinds of settings that hold several values: lists and maps of the single kinds.

The invariant: every entry obeys its kind, and a refusal names the entry's own line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from moorage.settings.document import Listing, Node, Section, is_empty
from moorage.settings.kinds import Kind, Misfit, Plain

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """Several values of one kind; a single value stands for a list of one."""

    kind: Kind[T]

    @property
    def name(self) -> str:
        """The kind with its plural marked."""
        return f"list of {self.kind.name}"

    @property
    def example(self) -> str:
        """A list of one."""
        return f"['{self.kind.example}']"

    def read(self, node: Node) -> tuple[T, ...]:
        """The values in order."""
        items = node.items if isinstance(node, Listing) else [node]
        for item in items:
            if is_empty(item):
                raise Misfit("has an empty entry", item.origin)
        return tuple(self.kind.read(item) for item in items)

    def show(self, value: tuple[T, ...]) -> Plain:
        """A list."""
        return [self.kind.show(item) for item in value]

    def schema(self) -> dict[str, Plain]:
        """A list or its only entry."""
        return {"anyOf": [{"type": "array", "items": self.kind.schema()}, self.kind.schema()]}


@dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """Values of one kind under names that the user chooses."""

    kind: Kind[T]
    key_name: str
    key_pattern: str = r"[^\x00-\x20\x7f]+"

    @property
    def name(self) -> str:
        """The kind of the values, under what."""
        return f"map from {self.key_name} to {self.kind.name}"

    @property
    def example(self) -> str:
        """A map of one."""
        value = self.kind.example
        return f"{{x-example: {value if value.startswith('[') else repr(value)}}}"

    def read(self, node: Node) -> Mapping[str, T]:
        """The values by name."""
        if not isinstance(node, Section):
            raise Misfit(f"must be a {self.name}", node.origin)
        for key, item in node.entries.items():
            if re.fullmatch(self.key_pattern, key) is None:
                raise Misfit(f"{key!r} is not a {self.key_name}", node.place(key))
            if is_empty(item):
                raise Misfit(f"{key} has no value", item.origin)
        return {key: self.kind.read(item) for key, item in node.entries.items()}

    def show(self, value: Mapping[str, T]) -> Plain:
        """A map."""
        return {key: self.kind.show(item) for key, item in value.items()}

    def schema(self) -> dict[str, Plain]:
        """Any name of the right form."""
        names: Plain = {"pattern": f"^({self.key_pattern})$"}
        return {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": self.kind.schema(),
        }
