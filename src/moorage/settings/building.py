# SPDX-License-Identifier: Apache-2.0
"""From the document to the tree: every key is known or named, every value fits or is named.

Values are read by their kinds; rules between several settings are in `checks`. The invariant: all
problems are collected before anything is refused, and no section is made while one of its settings
is in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from moorage.settings.document import Listing, Node, Scalar, Section, is_empty
from moorage.settings.elsewhere import ACCEPTED, REFUSED, REPLACED
from moorage.settings.errors import nearest
from moorage.settings.kinds import Misfit
from moorage.settings.leaves import Branch, Leaf

DEFAULT = "default"


@dataclass(slots=True)
class Report:
    """What came up on the way: problems that end it, warnings that do not, and origins."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)


def build(document: Section, tree: Branch, report: Report) -> object:
    """The section that `tree` describes; only to be used when the report has no problems."""
    return _Builder(tree, report).section(tree, document)


class _Builder:
    def __init__(self, tree: Branch, report: Report) -> None:
        self._report = report
        self._known = {leaf.dotted: leaf for leaf in tree.leaves()}

    def section(self, branch: Branch, node: Section) -> object:
        """One section with everything below."""
        problems = len(self._report.problems)
        for key in node.entries:
            if key not in branch.children:
                self._not_ours(branch, node, key)
        values = {
            name: self._child(child, node.entries.get(name), node)
            for name, child in branch.children.items()
        }
        return branch.make(**values) if len(self._report.problems) == problems else None

    def _child(self, child: Leaf | Branch, given: Node | None, around: Section) -> object:
        if isinstance(child, Leaf):
            return self._leaf(child, given, around)
        if given is not None and not is_empty(given) and not isinstance(given, Section):
            self._problem(given.origin, f"{child.dotted} must be a section of settings")
            return None
        if child.optional and not _is_present(child, given):
            return None
        below = given if isinstance(given, Section) else Section({}, _origin(given, around))
        return self.section(child, below)

    def _leaf(self, leaf: Leaf, given: Node | None, around: Section) -> object:
        if given is None or is_empty(given):
            if leaf.required:
                self._problem(around.origin, f"{leaf.dotted} is missing{_hint(leaf, around)}")
            self._report.sources[leaf.dotted] = DEFAULT
            return leaf.default
        given = self._replaced(leaf, given)
        self._report.sources[leaf.dotted] = ", ".join(_origins(given))
        try:
            return leaf.kind.read(given)
        except Misfit as misfit:
            text = "the value does not fit" if leaf.secret else str(misfit)
            self._problem(misfit.origin, f"{leaf.dotted}: {text}")
            return None

    def _replaced(self, leaf: Leaf, given: Node) -> Node:
        if not isinstance(given, Scalar):
            return given
        replacement = REPLACED.get((leaf.dotted, given.text.lower()))
        if replacement is None:
            return given
        text = f"{given.origin}: {leaf.dotted}: {given.text}: {replacement.advice}"
        self._report.warnings.append(text)
        return Scalar(replacement.value, replacement.value, given.origin)

    def _not_ours(self, branch: Branch, node: Section, key: str) -> None:
        """A key of distribution without meaning here, or one that nobody knows."""
        dotted = ".".join((*branch.path, key))
        place = node.place(key)
        if dotted in REFUSED:
            self._problem(place, f"{dotted}: {REFUSED[dotted]}")
        elif dotted in ACCEPTED:
            accepted = ACCEPTED[dotted]
            value = node.entries[key]
            if not is_empty(value) and plain(value) not in accepted.silent:
                self._report.warnings.append(f"{place}: {dotted} has no effect: {accepted.advice}")
        else:
            closest = self._closest(branch, key)
            advice = f"; did you mean {closest}?" if closest else ""
            self._problem(place, f"{dotted} is not a setting{advice}")

    def _closest(self, branch: Branch, key: str) -> str | None:
        """A key of that name further inside, or the only one; else one like it, here or far."""
        section = ".".join((*branch.path, ""))
        accepted = {d.removeprefix(section) for d in ACCEPTED if d.startswith(section)}
        word, siblings = key.lower(), {*branch.children, *accepted}
        namesakes = [dotted for dotted, leaf in self._known.items() if leaf.path[-1] == word]
        inside = [dotted for dotted in namesakes if dotted.startswith(section)]
        if word not in siblings and (inside or len(namesakes) == 1):
            return (inside or namesakes)[0]
        sibling = nearest(word, siblings)
        if sibling is not None:
            return section + sibling
        return nearest(section + word, self._known)

    def _problem(self, origin: str, text: str) -> None:
        self._report.problems.append(f"{origin}: {text}")


def plain(node: Node) -> object:
    """The node without origins."""
    if isinstance(node, Section):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return node.value


def _is_present(branch: Branch, given: Node | None) -> bool:
    """Whether an optional section was meant to be there."""
    if given is None:
        return False
    if branch.present_when_empty:
        return True
    return isinstance(given, Section) and not all(is_empty(v) for v in given.entries.values())


def _origin(given: Node | None, around: Section) -> str:
    return around.origin if given is None else given.origin


def _origins(node: Node) -> dict[str, None]:
    """Where a value begins, and the variables that changed something inside it."""
    found = {node.origin: None}
    if isinstance(node, Scalar):
        return found
    below = node.items if isinstance(node, Listing) else list(node.entries.values())
    for item in below:
        found.update((origin, None) for origin in _origins(item) if _is_variable(origin))
    return found


def _is_variable(origin: str) -> bool:
    """A place in a file has a line behind a colon; names of variables have no colon."""
    return ":" not in origin


def _hint(leaf: Leaf, around: Section) -> str:
    """Why a required setting may be missing: something that does its work in distribution."""
    section = ".".join(leaf.path[:-1])
    for key in around.entries:
        accepted = ACCEPTED.get(f"{section}.{key}")
        if accepted is not None:
            return f", and {key} does not replace it: {accepted.advice}"
    return f": {section} needs it; set it or remove the section"
