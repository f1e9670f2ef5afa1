# SPDX-License-Identifier: Apache-2.0
"""Typed access to the members of a JSON object, with errors that name the member.

What the members mean is for `descriptors` and `manifests`. Invariant: null and absent are the same
thing, because Go programs write the one where they mean the other; and a member is read only under
its exact name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from moorage.spec.errors import ManifestInvalid, quoted

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

JSONObject: TypeAlias = dict[str, object]


def as_object(value: object, where: str) -> JSONObject:
    """The value, which must be a JSON object."""
    if not isinstance(value, dict):
        raise ManifestInvalid(f"{where} must be a JSON object.")
    return value


def refuse_misspelled(members: JSONObject, known: AbstractSet[str], where: str) -> None:
    """Refuse a known name in other letter case.

    Go matches names without regard to case, so "Layers" beside or instead of "layers" would be
    one image to it and another to everybody else.
    """
    if members.keys() <= known:
        return
    folded = {name.casefold(): name for name in known}
    for name in members:
        right = folded.get(name.casefold(), name)
        if right != name and name not in known:
            raise ManifestInvalid(f"{where} has {quoted(name)}; write it {quoted(right)}.")


def text(members: JSONObject, name: str, where: str) -> str:
    """The text under the name; "" when there is none."""
    value = members.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ManifestInvalid(f"{where}: {name} must be text.")
    if "\0" in value:
        # None of these has a meaning with it, and PostgreSQL takes none in a text.
        raise ManifestInvalid(f"{where}: {name} must not hold a zero character.")
    return value


def integer(members: JSONObject, name: str, where: str) -> int | None:
    """The whole number under the name."""
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ManifestInvalid(f"{where}: {name} must be a whole number.")
    return value


def array(members: JSONObject, name: str, where: str) -> list[object]:
    """The list under the name; empty when there is none."""
    value = members.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ManifestInvalid(f"{where}: {name} must be a list.")
    return value


def texts(members: JSONObject, name: str, where: str) -> tuple[str, ...]:
    """The list of texts under the name; empty when there is none."""
    values = array(members, name, where)
    found = [value for value in values if isinstance(value, str)]
    if len(found) != len(values):
        raise ManifestInvalid(f"{where}: {name} must be a list of texts.")
    return tuple(found)


def text_map(members: JSONObject, name: str, where: str) -> dict[str, str]:
    """The map from text to text under the name; empty when there is none."""
    value = members.get(name)
    if value is None:
        return {}
    found: dict[str, str] = {}
    for key, entry in as_object(value, f"{where}: {name}").items():
        if entry is not None and not isinstance(entry, str):
            raise ManifestInvalid(f"{where}: {name} must map {quoted(key)} to text.")
        found[key] = entry or ""
    return found
