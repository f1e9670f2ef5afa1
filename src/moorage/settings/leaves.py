# SPDX-License-Identifier: Apache-2.0
"""How a section of the tree declares its settings, and the shape that can be read off it.

`setting`, `required`, `section` and `optional_section` are used in the class bodies of
`moorage.settings.sections`; `shape_of` turns such a class into plain `Leaf` and `Branch` values,
from which loader, schema and reference all work. The invariant: a setting exists in one place only.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from moorage.settings.kinds import Kind

T = TypeVar("T")

_KEY = "moorage.settings"
ENVIRONMENT_PREFIX = "REGISTRY_"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: where it is, what it may be, what it is without a word from the user."""

    path: tuple[str, ...]
    kind: Kind[object]
    default: object
    required: bool
    secret: bool
    documentation: str
    bounds: str

    @property
    def dotted(self) -> str:
        """The key as written in messages: `http.addr`."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Branch:
    """A section: its settings and sub-sections in the order of declaration."""

    path: tuple[str, ...]
    make: Callable[..., object]
    optional: bool
    present_when_empty: bool
    documentation: str
    children: dict[str, Leaf | Branch]

    @property
    def dotted(self) -> str:
        """The key as written in messages; empty for the root."""
        return ".".join(self.path)

    def leaves(self) -> Iterator[Leaf]:
        """Every setting below, depth first."""
        for child in self.children.values():
            if isinstance(child, Leaf):
                yield child
            else:
                yield from child.leaves()


def environment_name(path: tuple[str, ...]) -> str:
    """The variable that overrides the key at `path`."""
    return ENVIRONMENT_PREFIX + "_".join(path).upper()


@dataclass(frozen=True, slots=True)
class _Declared:
    """What a class body said about one field."""

    documentation: str
    kind: Kind[object] | None = None
    make: Callable[..., object] | None = None
    optional: bool = False
    present_when_empty: bool = False
    secret: bool = False
    bounds: str = ""


def _erased(kind: Kind[T]) -> Kind[object]:
    """The kind as the generic code sees it; declaration and default have been checked by then."""
    return cast("Kind[object]", kind)


def setting(
    kind: Kind[T], default: T, documentation: str, *, bounds: str = "", secret: bool = False
) -> T:
    """A leaf with a default; `bounds` gives the reason and precedent of default and limits."""
    declared = _Declared(documentation, kind=_erased(kind), secret=secret, bounds=bounds)
    if isinstance(default, dict):
        return cast("T", field(default_factory=default.copy, metadata={_KEY: declared}))
    return field(default=default, metadata={_KEY: declared})


def optional(
    kind: Kind[T], documentation: str, *, bounds: str = "", secret: bool = False
) -> T | None:
    """A leaf that is None unless somebody sets it."""
    declared = _Declared(documentation, kind=_erased(kind), secret=secret, bounds=bounds)
    return field(default=None, metadata={_KEY: declared})


def required(kind: Kind[T], documentation: str, *, bounds: str = "", secret: bool = False) -> T:
    """A leaf without default: whoever writes its section must set it."""
    declared = _Declared(documentation, kind=_erased(kind), secret=secret, bounds=bounds)
    return cast("T", field(metadata={_KEY: declared}))


def section(make: Callable[[], T], documentation: str) -> T:
    """A section that is always there, whole or with its defaults."""
    declared = _Declared(documentation, make=make)
    return field(default_factory=make, metadata={_KEY: declared})


def optional_section(
    make: Callable[..., T], documentation: str, *, present_when_empty: bool
) -> T | None:
    """A section that is None unless written; `key:` alone counts when `present_when_empty`."""
    declared = _Declared(
        documentation, make=make, optional=True, present_when_empty=present_when_empty
    )
    return field(default=None, metadata={_KEY: declared})


def shape_of(make: Callable[..., object], path: tuple[str, ...] = ()) -> Branch:
    """The shape of a section class and of everything below it."""
    return _branch(path, _Declared("", make=make), make)


def _branch(path: tuple[str, ...], declared: _Declared, make: Callable[..., object]) -> Branch:
    if not (isinstance(make, type) and dataclasses.is_dataclass(make)):
        raise TypeError(f"{make!r} is not a section class")
    children: dict[str, Leaf | Branch] = {}
    for item in dataclasses.fields(make):
        below = item.metadata[_KEY]
        assert isinstance(below, _Declared)
        where = (*path, item.name)
        if below.make is not None:
            children[item.name] = _branch(where, below, below.make)
        elif below.kind is not None:
            children[item.name] = _leaf(where, below, item)
    return Branch(
        path,
        make,
        declared.optional,
        declared.present_when_empty,
        declared.documentation,
        children,
    )


def _leaf(path: tuple[str, ...], declared: _Declared, item: dataclasses.Field[object]) -> Leaf:
    assert declared.kind is not None
    missing = dataclasses.MISSING
    default = item.default
    if default is missing and item.default_factory is not missing:
        default = item.default_factory()
    is_required = default is missing
    return Leaf(
        path,
        declared.kind,
        None if is_required else default,
        is_required,
        declared.secret,
        declared.documentation,
        declared.bounds,
    )
