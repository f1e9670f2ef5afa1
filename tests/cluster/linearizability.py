# SPDX-License-Identifier: Apache-2.0
"""Whether what clients saw of one register could have happened in some order, one step at a time.

The order must keep what came before in real time. It is searched for as Wing and Gong describe it,
remembering the configurations that led nowhere (Lowe). A step whose outcome nobody knows may have
happened at any later time, or never. The register holds a text, or None for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Value = str | None
# Far more than a history of forty steps needs; whoever reaches it has recorded too much.
MAX_CONFIGURATIONS = 1_000_000


class Times(TypedDict):
    """When an operation was asked for, and when its answer came."""

    invoked: float
    returned: float


@dataclass(frozen=True, slots=True)
class Step:
    """What one operation needs of the register, and what it leaves there.

    `expects` holds, where `tests`, or must not hold, where `differs`. `returned` is infinite for a
    step whose outcome is unknown.
    """

    who: str
    what: str
    invoked: float
    returned: float
    tests: bool = False
    expects: Value = None
    differs: bool = False
    sets: bool = False
    becomes: Value = None

    def possible(self, state: Value) -> bool:
        """Whether the step can happen in this state."""
        return not self.tests or (state == self.expects) is not self.differs

    def after(self, state: Value) -> Value:
        """The state behind the step."""
        return self.becomes if self.sets else state

    @property
    def required(self) -> bool:
        """Whether it certainly happened."""
        return self.returned < inf

    def unknown(self) -> Step:
        """The same without an answer."""
        return replace(self, returned=inf)

    def __str__(self) -> str:
        end = f"{self.returned:.6f}" if self.required else "unknown"
        return f"[{self.invoked:.6f} .. {end}] {self.who}: {self.what}"


def write(value: str, who: str = "", *, invoked: float, returned: float) -> Step:
    """The register was set, whatever it was."""
    return Step(who, f"write {value}", invoked, returned, sets=True, becomes=value)


def read(value: Value, who: str = "", *, invoked: float, returned: float) -> Step:
    """The register had this value."""
    return Step(who, f"read {value}", invoked, returned, tests=True, expects=value)


def seen(who: str = "", *, present: bool, invoked: float, returned: float) -> Step:
    """The register had some value, or none."""
    what = "seen" if present else "not seen"
    return Step(who, what, invoked, returned, tests=True, differs=present)


def swap(expected: Value, value: Value, who: str = "", *, invoked: float, returned: float) -> Step:
    """The register was set because it had the expected value."""
    what = f"swap {expected} for {value}"
    return Step(
        who, what, invoked, returned, tests=True, expects=expected, sets=True, becomes=value
    )


def differed(expected: Value, who: str = "", *, invoked: float, returned: float) -> Step:
    """The register had another value, so a swap was refused."""
    what = f"refused: not {expected}"
    return Step(who, what, invoked, returned, tests=True, expects=expected, differs=True)


def delete(who: str = "", *, invoked: float, returned: float) -> Step:
    """The register had some value and was emptied."""
    return Step(who, "delete", invoked, returned, tests=True, differs=True, sets=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The order that was found, or how far the best attempt came."""

    linearizable: bool
    order: tuple[Step, ...]
    left: tuple[Step, ...] = ()

    def __str__(self) -> str:
        if self.linearizable:
            return "linearizable"
        lines = ["not linearizable; the longest order that is possible:"]
        lines += [f"  {step}" for step in self.order]
        lines += ["and then none of these:", *(f"  {step}" for step in self.left)]
        return "\n".join(lines)


class Undecided(Exception):
    """The history is too long and too concurrent for this search."""


def check(steps: Sequence[Step], initial: Value = None) -> Verdict:
    """Look for an order.

    Raises:
        Undecided: the search was given up.
    """
    # What nobody knows to have happened and would have changed nothing tells nothing.
    told = sorted(
        (step for step in steps if step.required or step.sets), key=lambda step: step.invoked
    )
    return _Search(told).run(initial)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """Which steps have happened (a bit each), and what the register then holds."""

    done: int
    state: Value


class _Search:
    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._required = sum(1 << at for at, step in enumerate(steps) if step.required)

    def run(self, initial: Value) -> Verdict:
        start, path = self._observe(_Configuration(0, initial))
        known = {start}
        stack = [(start, path, self._next(start))]
        best, best_path = start, path
        while stack:
            here, path, branches = stack[-1]
            if here.done & self._required == self._required:
                return Verdict(linearizable=True, order=self._named(path))
            if self._progress(here) > self._progress(best):
                best, best_path = here, path
            for at in branches:
                step = self._steps[at]
                moved = _Configuration(here.done | 1 << at, step.after(here.state))
                there, observed = self._observe(moved)
                if there not in known:
                    known.add(there)
                    stack.append((there, (*path, at, *observed), self._next(there)))
                    break
            else:
                stack.pop()
            if len(known) > MAX_CONFIGURATIONS:
                raise Undecided(f"{len(self._steps)} steps")
        left = tuple(self._steps[at] for at in self._candidates(best.done))
        return Verdict(linearizable=False, order=self._named(best_path), left=left)

    def _progress(self, here: _Configuration) -> int:
        return (here.done & self._required).bit_count()

    def _named(self, path: Sequence[int]) -> tuple[Step, ...]:
        return tuple(self._steps[at] for at in path)

    def _candidates(self, done: int) -> list[int]:
        """The steps that nothing undone must come before."""
        steps = self._steps
        undone = [at for at in range(len(steps)) if not done >> at & 1]
        bound = min((steps[at].returned for at in undone), default=inf)
        return [at for at in undone if steps[at].invoked <= bound]

    def _observe(self, here: _Configuration) -> tuple[_Configuration, tuple[int, ...]]:
        """Let everything happen that changes nothing and is possible now.

        Nothing is lost by that: in any order that has such a step later, it can be moved here.
        """
        done, path = here.done, list[int]()
        while True:
            fitting = [
                at
                for at in self._candidates(done)
                if not self._steps[at].sets and self._steps[at].possible(here.state)
            ]
            if not fitting:
                return _Configuration(done, here.state), tuple(path)
            path += fitting
            done |= sum(1 << at for at in fitting)

    def _next(self, here: _Configuration) -> Iterator[int]:
        """The changes that can come next, those that certainly happened first."""
        candidates = [
            at
            for at in self._candidates(here.done)
            if self._steps[at].sets and self._steps[at].possible(here.state)
        ]
        yield from (at for at in candidates if self._steps[at].required)
        yield from (
            at for at in candidates if not self._steps[at].required and self._helps(at, here)
        )

    def _helps(self, at: int, here: _Configuration) -> bool:
        """Whether an unknown step makes anything possible that is not possible without it.

        If nothing does, whatever follows it can follow its predecessor just as well.
        """
        state = self._steps[at].after(here.state)
        return any(
            step.possible(state) and not step.possible(here.state)
            for other, step in enumerate(self._steps)
            if other != at and not here.done >> other & 1
        )
