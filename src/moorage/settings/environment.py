# SPDX-License-Identifier: Apache-2.0
"""`REGISTRY_*` variables laid over the document, by the rules of distribution's parser.

Works on nodes, guided by the shape of the tree; whether a value fits is decided when the tree is
built. The rules: `_` separates keys, a value is YAML, less specific variables are applied first,
a list takes an index up to its length, a map takes new names in lower case. The invariant: a
variable that does not fit is never ignored in silence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from moorage.settings.compounds import ListOf, MapOf
from moorage.settings.document import Listing, Node, Scalar, Section, is_empty, read_value
from moorage.settings.elsewhere import covering
from moorage.settings.errors import SettingsError, nearest
from moorage.settings.leaves import ENVIRONMENT_PREFIX, Branch, Leaf, environment_name

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIGURATION_PATH = "REGISTRY_CONFIGURATION_PATH"

# Sections that distribution also takes as one word: `storage: filesystem`, `auth: htpasswd`.
SHORT_FORMS = ("storage", "auth")
LOGLEVEL = "loglevel"

# Kubernetes describes each service to each container; a service called "registry" looks like us.
_SERVICE_LINK = re.compile(r"REGISTRY_(SERVICE_(HOST|PORT(_.*)?)|PORT_[0-9]+_(TCP|UDP)(_.*)?)")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


def apply_environment(document: Section, environ: Mapping[str, str], tree: Branch) -> list[str]:
    """Lay all variables over the document; returns warnings for those that fit nowhere."""
    warnings: list[str] = []
    names = [name for name in environ if name.startswith(ENVIRONMENT_PREFIX)]
    for name in sorted(names, key=_order):
        if name == CONFIGURATION_PATH or _is_service_link(name, environ[name]):
            continue
        if not _Override(name, environ[name]).lay_over(document, tree):
            warnings.append(_unknown(name, tree))
    return warnings


def expand_short_form(node: Node) -> Node:
    """`filesystem` as `{filesystem: }`; anything else as it is."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.text:
        # "none" is distribution's way to say that there is no authentication.
        word = node.text.lower()
        return Section({} if word == "none" else {word: Scalar("", None, node.origin)}, node.origin)
    return node


def _order(name: str) -> list[tuple[int, str]]:
    """As sorted by distribution, except that the tenth entry of a list comes after the second."""
    return [(int(p), "") if p.isdecimal() else (-1, p.lower()) for p in name.split("_")]


def _is_service_link(name: str, value: str) -> bool:
    if name == "REGISTRY_PORT":
        return _SERVICE_URL.match(value) is not None
    return _SERVICE_LINK.fullmatch(name) is not None


def _unknown(name: str, tree: Branch) -> str:
    known = [environment_name(leaf.path) for leaf in tree.leaves()]
    closest = nearest(name, known)
    advice = f"; did you mean {closest}?" if closest else ""
    return f"{name} is not a setting and is ignored{advice}"


class _Override:
    """One variable on its way to its place."""

    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value
        self._words = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("_"))

    def lay_over(self, document: Section, tree: Branch) -> bool:
        """Put the value where the name says; False when there is no such place."""
        if self._words == (LOGLEVEL,):
            document.entries[LOGLEVEL] = self._read()
            return True
        return self._descend(document, tree, self._words)

    def _read(self) -> Node:
        return read_value(self._value, self._name)

    def _read_leaf(self, leaf: Leaf) -> Node:
        """YAML where it may be a list or map, else text: `[::1]:5000` needs no quotes here."""
        kind: object = leaf.kind
        if isinstance(kind, ListOf | MapOf):
            return self._read()
        try:
            value = self._read()
        except SettingsError:
            value = None
        return value if isinstance(value, Scalar) else Scalar(self._value, self._value, self._name)

    def _descend(self, section: Section, branch: Branch, words: tuple[str, ...]) -> bool:
        key, rest = words[0], words[1:]
        if covering((*branch.path, key)) is not None:
            self._put_raw(section, words)
            return True
        child = branch.children.get(key)
        if child is None:
            return False
        if not rest:
            section.key_origins.pop(key, None)
            if isinstance(child, Leaf):
                section.entries[key] = self._read_leaf(child)
                return True
            value = self._read()
            short = not branch.path and key in SHORT_FORMS
            section.entries[key] = expand_short_form(value) if short else value
            return True
        if isinstance(child, Branch):
            return self._descend(self._section_at(section, key), child, rest)
        return self._put_inside(section, child, rest)

    def _section_at(self, section: Section, key: str) -> Section:
        """The section below `key`, made when it is missing or empty."""
        below = section.entries.get(key)
        if below is None or is_empty(below):
            below = section.entries[key] = Section({}, self._name)
        if not isinstance(below, Section):
            raise SettingsError([f"{below.origin}: {key} must be a section of settings"])
        return below

    def _put_raw(self, section: Section, words: tuple[str, ...]) -> None:
        """A key that is not ours: kept as text, for the one warning that names it."""
        for word in words[:-1]:
            below = section.entries.get(word)
            if not isinstance(below, Section):
                below = section.entries[word] = Section({}, self._name)
            section = below
        section.key_origins.pop(words[-1], None)
        truth = {"true": True, "false": False}.get(self._value.lower())
        value = self._value if truth is None else truth
        section.entries[words[-1]] = Scalar(self._value, value, self._name)

    def _put_inside(self, section: Section, leaf: Leaf, rest: tuple[str, ...]) -> bool:
        """One entry of a list or map."""
        key = leaf.path[-1]
        kind: object = leaf.kind
        if isinstance(kind, ListOf):
            return self._put_in_list(section, key, rest)
        if not isinstance(kind, MapOf):
            return False
        entries = self._section_at(section, key)
        if isinstance(kind.kind, ListOf) and len(rest) > 1:
            name = _existing(entries, "_".join(rest[:-1]))
            return self._put_in_list(entries, name, rest[-1:])
        # The values are no maps, so further underscores can only belong to the name.
        entries.entries[_existing(entries, "_".join(rest))] = self._read()
        return True

    def _put_in_list(self, section: Section, key: str, rest: tuple[str, ...]) -> bool:
        if len(rest) != 1:
            return False
        below = section.entries.get(key)
        if below is None or is_empty(below):
            below = Listing([], self._name)
        elif not isinstance(below, Listing):
            below = Listing([below], below.origin)
        section.entries[key] = below
        word, length = rest[0], len(below.items)
        if not (word.isdecimal() and word.isascii()) or int(word) > length:
            advice = f"write a number from 0 to {length}"
            raise SettingsError([f"{self._name}: {word} is no place in a list: {advice}"])
        below.items[int(word) : int(word) + 1] = [self._read()]
        return True


def _existing(section: Section, name: str) -> str:
    """The name as the document spells it, or in lower case when it is new."""
    return next((key for key in section.entries if key.lower() == name), name)
