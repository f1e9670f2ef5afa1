# SPDX-License-Identifier: Apache-2.0
"""What all clients saw, written down as it happened: steps of tags, and what was acknowledged.

Every tag is a register of its own with a short life: after some steps another one takes its place,
so that its history can be judged.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from tests.cluster.linearizability import Undecided, check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.cluster.linearizability import Step
    from tests.support.images import Content

# Short enough to be decided quickly, long enough for stale reads to show.
MAX_STEPS = 40
# Few, so that several clients meet at each of them.
TAGS_IN_USE = 2


class Tag(NamedTuple):
    """One register."""

    repository: str
    name: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest and the blobs that it names."""

    content: Content
    blobs: tuple[Content, ...]


@dataclass
class History:
    """The record that all clients share; they run in one thread."""

    repositories: tuple[str, ...]
    # How an upload may be refused that has lost what it had: a database that is killed forgets the
    # progress of uploads, which nobody has promised to keep.
    setbacks: frozenset[int] = frozenset()
    steps: dict[Tag, list[Step]] = field(default_factory=dict)
    blobs: dict[tuple[str, str], Content] = field(default_factory=dict)
    manifests: dict[tuple[str, str], Pushed] = field(default_factory=dict)
    attempted: dict[str, Pushed] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._numbers = count()
        self._in_use: dict[str, list[Tag]] = {}
        for repository in self.repositories:
            self._in_use[repository] = [self._new_tag(repository) for _ in range(TAGS_IN_USE)]

    def _new_tag(self, repository: str) -> Tag:
        tag = Tag(repository, f"t{next(self._numbers)}")
        self.steps[tag] = []
        return tag

    def tag(self, repository: str, random: Random) -> Tag:
        """A tag that still has room in its history."""
        in_use = self._in_use[repository]
        place = random.randrange(len(in_use))
        if len(self.steps[in_use[place]]) >= MAX_STEPS:
            in_use[place] = self._new_tag(repository)
        return in_use[place]

    def tags_in_use(self, repository: str) -> list[Tag]:
        """The tags of a repository whose histories go on."""
        return [tag for tag in self._in_use[repository] if len(self.steps[tag]) < MAX_STEPS]

    def record(self, tag: Tag, step: Step) -> None:
        """A step has ended, one way or another."""
        self.steps[tag].append(step)

    def wrong(self, what: str) -> None:
        """Something that must never be seen was seen."""
        self.violations.append(f"{time.monotonic():.6f} {what}")

    def not_linearizable(self) -> Iterator[str]:
        """The histories that no order explains, and those that are too much to judge."""
        for tag, steps in self.steps.items():
            try:
                verdict = check(steps)
            except Undecided as reason:
                yield f"{tag}: undecided: {reason}"
                continue
            if not verdict.linearizable:
                whole = "\n".join(f"  {step}" for step in sorted(steps, key=_begin))
                yield f"{tag}: {verdict}\nall of it:\n{whole}"


def _begin(step: Step) -> float:
    return step.invoked
