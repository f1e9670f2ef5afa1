# SPDX-License-Identifier: Apache-2.0
"""The kinds of settings that are amounts: whole numbers, durations and sizes, each with its bounds.

Single values without bounds are in `kinds`. The invariant: an amount outside its bounds is refused
with both the value and the bound in the message; it is never silently cut to fit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from moorage.settings.kinds import Misfit, Plain, scalar
from moorage.settings.values import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.settings.document import Node

N = TypeVar("N", int, float)


def within(value: N, minimum: N, maximum: N, show: Callable[[N], str], origin: str) -> N:
    """The value, if it lies within the bounds."""
    if value < minimum:
        raise Misfit(f"{show(value)} is too little: at least {show(minimum)}", origin)
    if value > maximum:
        raise Misfit(f"{show(value)} is too much: at most {show(maximum)}", origin)
    return value


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds."""

    minimum: int
    maximum: int

    @property
    def name(self) -> str:
        """With the bounds."""
        return f"integer, {self.minimum} to {self.maximum}"

    @property
    def example(self) -> str:
        """The smallest allowed number that shows an effect."""
        return str(max(self.minimum, 1))

    def read(self, node: Node) -> int:
        """The number."""
        value = scalar(node, "a whole number")
        text = value.text.strip().replace("_", "")
        if isinstance(value.value, bool) or not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
            raise Misfit(f"{value.text!r} is not a whole number", node.origin)
        # Decimal even with leading zeros: YAML 1.1 would read 010 as 8, which nobody means.
        return within(int(text), self.minimum, self.maximum, str, node.origin)

    def show(self, value: int) -> Plain:
        """The number."""
        return value

    def schema(self) -> dict[str, Plain]:
        """A bounded number, or its digits quoted."""
        number: Plain = {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}
        return {"anyOf": [number, {"type": "string", "pattern": "^[+-]?[0-9]{1,18}$"}]}


@dataclass(frozen=True, slots=True)
class Duration:
    """A time span in Go's notation, kept in seconds."""

    minimum: float
    maximum: float
    example: str = "90s"

    @property
    def name(self) -> str:
        """With the bounds."""
        return f"duration, {format_duration(self.minimum)} to {format_duration(self.maximum)}"

    def read(self, node: Node) -> float:
        """Seconds."""
        value = scalar(node, "a duration such as 30s")
        try:
            seconds = parse_duration(value.text)
        except ValueError as error:
            raise Misfit(str(error), node.origin) from None
        return within(seconds, self.minimum, self.maximum, format_duration, node.origin)

    def show(self, value: float) -> Plain:
        """In Go's notation."""
        return format_duration(value)

    def schema(self) -> dict[str, Plain]:
        """A text of numbers with units, or zero."""
        units: Plain = {"type": "string", "pattern": f"^(0|({DURATION_PATTERN})+)$"}
        return {"anyOf": [units, {"const": 0}]} if self.minimum <= 0 else {"anyOf": [units]}


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes, with or without a unit."""

    minimum: int
    maximum: int

    @property
    def example(self) -> str:
        """The largest allowed size."""
        return format_size(self.maximum)

    @property
    def name(self) -> str:
        """With the bounds."""
        return f"size, {format_size(self.minimum)} to {format_size(self.maximum)}"

    def read(self, node: Node) -> int:
        """Bytes."""
        value = scalar(node, "a size such as 4MiB")
        try:
            size = parse_size(value.text)
        except ValueError as error:
            raise Misfit(str(error), node.origin) from None
        return within(size, self.minimum, self.maximum, format_size, node.origin)

    def show(self, value: int) -> Plain:
        """With the largest unit that fits exactly."""
        return format_size(value)

    def schema(self) -> dict[str, Plain]:
        """A bounded number or a text with a unit."""
        number: Plain = {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}
        return {"anyOf": [number, {"type": "string", "pattern": f"^([0-9]+|{SIZE_PATTERN})$"}]}
