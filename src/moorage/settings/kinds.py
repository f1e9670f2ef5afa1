# SPDX-License-Identifier: Apache-2.0
"""The kinds of single values a setting can have: how each is read, shown and described.

A kind knows nothing of keys or files; it turns one node into one value or says why not (`Misfit`).
Amounts are in `amounts`, lists and maps in `compounds`. The invariant: `read` accepts what `schema`
describes and reads back what `show` returns.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from moorage.settings.document import Listing, Node, Scalar

T = TypeVar("T")
W = TypeVar("W", bound=str)
Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]


class Misfit(ValueError):
    """The value at `origin` does not fit; the text says why and what would."""

    def __init__(self, text: str, origin: str) -> None:
        super().__init__(text)
        self.origin = origin


class Kind(Protocol[T]):
    """What the tree, the schema and the reference need to know of a kind of values."""

    @property
    def name(self) -> str:
        """The kind in the words of the reference."""
        ...

    @property
    def example(self) -> str:
        """A value as an environment variable would give it, for documentation and tests."""
        ...

    def read(self, node: Node) -> T:
        """The value of a node that is not null."""
        ...

    def show(self, value: T) -> Plain:
        """The value as it would be written in a file."""
        ...

    def schema(self) -> dict[str, Plain]:
        """The JSON Schema of everything `read` accepts."""
        ...


def scalar(node: Node, wanted: str) -> Scalar:
    """The node, if it is a single value."""
    if isinstance(node, Scalar):
        return node
    found = "a list" if isinstance(node, Listing) else "a map"
    raise Misfit(f"must be {wanted}, not {found}", node.origin)


@dataclass(frozen=True, slots=True)
class Text:
    """Any text; with a pattern, text of that form."""

    name: str = "text"
    example: str = "text"
    pattern: str | None = None
    advice: str = ""
    dropped_ending: str = ""

    def read(self, node: Node) -> str:
        """The text as written, also when YAML would see a number or a truth value in it."""
        text = scalar(node, self.name).text
        if self.pattern is not None and re.fullmatch(self.pattern, text) is None:
            raise Misfit(f"{text!r} is not {self.name}{self.advice}", node.origin)
        return text.removesuffix(self.dropped_ending)

    def show(self, value: str) -> Plain:
        """The text."""
        return value

    def schema(self) -> dict[str, Plain]:
        """Text; numbers and truth values are taken as they are written."""
        if self.pattern is None:
            return {"type": ["string", "number", "boolean"]}
        return {"type": "string", "pattern": f"^({self.pattern})$"}


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path; a relative one counts from where the program was started."""

    name: str = "path"
    example: str = "/srv/moorage/example"

    def read(self, node: Node) -> Path:
        """The path, not looked at."""
        text = scalar(node, "a path").text
        if not text or "\0" in text:
            raise Misfit("must be a path, not an empty text", node.origin)
        return Path(text)

    def show(self, value: Path) -> Plain:
        """The path as text."""
        return str(value)

    def schema(self) -> dict[str, Plain]:
        """A text with something in it."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false, in any of YAML's spellings."""

    name: str = "boolean"
    example: str = "true"

    def read(self, node: Node) -> bool:
        """The truth value; quoted `"true"` too, because templates quote."""
        value = scalar(node, "true or false")
        if isinstance(value.value, bool):
            return value.value
        spellings = {
            "true": True,
            "yes": True,
            "on": True,
            "false": False,
            "no": False,
            "off": False,
        }
        try:
            return spellings[value.text.lower()]
        except KeyError:
            raise Misfit(f"{value.text!r} is not true or false", node.origin) from None

    def show(self, value: bool) -> Plain:  # noqa: FBT001 - the value itself
        """The truth value."""
        return value

    def schema(self) -> dict[str, Plain]:
        """YAML has made truth values of the unquoted spellings before a schema sees them."""
        quoted = (
            "^([Tt][Rr][Uu][Ee]|[Yy][Ee][Ss]|[Oo][Nn]|[Ff][Aa][Ll][Ss][Ee]|[Nn][Oo]|[Oo][Ff][Ff])$"
        )
        return {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": quoted}]}


@dataclass(frozen=True, slots=True)
class Choice(Generic[W]):
    """One of a few words; upper and lower case are the same, as in distribution."""

    words: tuple[W, ...]

    @property
    def name(self) -> str:
        """All words."""
        return " or ".join(f"`{word}`" for word in self.words)

    @property
    def example(self) -> str:
        """The word that is least likely to be the default."""
        return self.words[-1]

    def read(self, node: Node) -> W:
        """The word in lower case."""
        text = scalar(node, self.list_words()).text
        for word in self.words:
            if word == text.lower():
                return word
        raise Misfit(f"{text!r} is not one of {self.list_words()}", node.origin)

    def list_words(self) -> str:
        """The words for a message."""
        return ", ".join(self.words)

    def show(self, value: W) -> Plain:
        """The word."""
        return value

    def schema(self) -> dict[str, Plain]:
        """The words in any case; a number spells a word when its digits do."""
        letters = "|".join(
            "".join(f"[{c.upper()}{c}]" if c.isalpha() else re.escape(c) for c in word)
            for word in self.words
        )
        kinds: list[Plain] = [{"type": "string", "pattern": f"^({letters})$"}]
        numbers: list[Plain] = [float(w) for w in self.words if re.fullmatch(r"[0-9]+\.[0-9]+", w)]
        if numbers:
            kinds.append({"enum": numbers})
        return {"anyOf": kinds}


@dataclass(frozen=True, slots=True)
class Network:
    """An IP address or a network in CIDR notation."""

    name: str = "network"
    example: str = "10.0.0.0/8"

    def read(self, node: Node) -> str:
        """The network in its canonical form."""
        text = scalar(node, "a network").text
        try:
            return str(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            advice = "write an address like 10.0.0.7 or a network like 10.0.0.0/8"
            raise Misfit(f"{text!r} is not a network: {advice}", node.origin) from None

    def show(self, value: str) -> Plain:
        """The network."""
        return value

    def schema(self) -> dict[str, Plain]:
        """Text; addresses have no simple pattern."""
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression."""

    name: str = "regular expression"
    example: str = "^https:"

    def read(self, node: Node) -> str:
        """The expression, known to compile."""
        text = scalar(node, "a regular expression").text
        try:
            re.compile(text)
        except re.error as error:
            raise Misfit(f"{text!r} is not a regular expression: {error}", node.origin) from None
        return text

    def show(self, value: str) -> Plain:
        """The expression."""
        return value

    def schema(self) -> dict[str, Plain]:
        """An expression."""
        return {"type": "string", "format": "regex"}
