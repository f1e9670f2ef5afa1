# SPDX-License-Identifier: Apache-2.0
"""The checker itself: it accepts what can have happened and rejects what cannot."""

from __future__ import annotations

from itertools import permutations
from math import inf
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.cluster.linearizability import (
    Step,
    Times,
    check,
    delete,
    differed,
    read,
    seen,
    swap,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cluster.linearizability import Value

GOOD = {
    "nothing happened": [],
    "read nothing": [read(None, invoked=0, returned=1)],
    "one after the other": [
        write("a", invoked=0, returned=1),
        read("a", invoked=2, returned=3),
        delete(invoked=4, returned=5),
        read(None, invoked=6, returned=7),
    ],
    "a read beside a write sees the old": [
        write("a", invoked=0, returned=1),
        write("b", invoked=2, returned=10),
        read("a", invoked=3, returned=4),
        read("b", invoked=5, returned=6),
    ],
    "two writes at once, in the other order": [
        write("a", invoked=0, returned=10),
        write("b", invoked=1, returned=9),
        read("b", invoked=2, returned=3),
        read("a", invoked=4, returned=5),
    ],
    "an unknown write that happened much later": [
        write("a", invoked=0, returned=1),
        write("b", invoked=2, returned=inf),
        read("a", invoked=100, returned=101),
        read("b", invoked=102, returned=103),
    ],
    "an unknown write that never happened": [
        write("a", invoked=0, returned=1),
        write("b", invoked=2, returned=inf),
        read("a", invoked=3, returned=4),
    ],
    "an unknown delete explains a hole": [
        write("a", invoked=0, returned=1),
        delete(invoked=2, returned=inf),
        read("a", invoked=3, returned=4),
        read(None, invoked=5, returned=6),
    ],
    "an unknown write is seen before it is deleted": [
        write("a", invoked=0, returned=inf),
        seen(present=True, invoked=1, returned=2),
        delete(invoked=3, returned=4),
        seen(present=False, invoked=5, returned=6),
    ],
    "of two creators one wins": [
        swap(None, "a", invoked=0, returned=10),
        differed(None, invoked=1, returned=9),
        read("a", invoked=11, returned=12),
    ],
    "an unknown read says nothing": [
        write("a", invoked=0, returned=1),
        read("b", invoked=2, returned=inf),
    ],
    "touching ends count as overlapping": [
        write("a", invoked=0, returned=1),
        read(None, invoked=1, returned=2),
    ],
}

BAD = {
    "read what nobody wrote": [read("a", invoked=0, returned=1)],
    "an acknowledged write is lost": [
        write("a", invoked=0, returned=1),
        read(None, invoked=2, returned=3),
    ],
    "a stale read": [
        write("a", invoked=0, returned=1),
        write("b", invoked=2, returned=3),
        read("a", invoked=4, returned=5),
    ],
    "two reads see two writes in different orders": [
        write("a", invoked=0, returned=1),
        write("b", invoked=0, returned=1),
        read("a", invoked=2, returned=3),
        read("b", invoked=4, returned=5),
        read("a", invoked=6, returned=7),
    ],
    "a value goes away and comes back": [
        write("a", invoked=0, returned=1),
        write("b", invoked=2, returned=10),
        read("b", invoked=3, returned=4),
        read("a", invoked=5, returned=6),
    ],
    "an unknown write happens twice": [
        write("a", invoked=0, returned=inf),
        write("b", invoked=1, returned=2),
        read("a", invoked=3, returned=4),
        write("c", invoked=5, returned=6),
        read("a", invoked=7, returned=8),
    ],
    "an unknown write happens before it was asked for": [
        read("a", invoked=0, returned=1),
        write("a", invoked=2, returned=inf),
    ],
    "two creators win": [
        swap(None, "a", invoked=0, returned=10),
        swap(None, "b", invoked=1, returned=9),
    ],
    "deleted twice": [
        write("a", invoked=0, returned=1),
        delete(invoked=2, returned=10),
        delete(invoked=3, returned=9),
    ],
    "a deleted value is seen": [
        write("a", invoked=0, returned=1),
        delete(invoked=2, returned=3),
        seen(present=True, invoked=4, returned=5),
    ],
    "a swap from a value that was gone": [
        write("a", invoked=0, returned=1),
        write("b", invoked=2, returned=3),
        swap("a", "c", invoked=4, returned=5),
    ],
    "a swap is refused though nothing else was there": [
        write("a", invoked=0, returned=1),
        differed("a", invoked=2, returned=3),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD.keys())
def test_accepted(history: list[Step]) -> None:
    """What some order explains is accepted, however it was recorded."""
    assert check(history).linearizable
    assert check(history[::-1]).linearizable


@pytest.mark.parametrize("history", BAD.values(), ids=BAD.keys())
def test_rejected(history: list[Step]) -> None:
    """What no order explains is rejected, and the verdict names a step that does not fit."""
    verdict = check(history)

    assert not verdict.linearizable
    assert not check(history[::-1]).linearizable
    assert verdict.left
    assert "not linearizable" in str(verdict)


def by_trying(steps: Sequence[Step]) -> bool:
    """The definition itself: some order of all required and any of the unknown steps fits."""
    unknown = [step for step in steps if not step.required]
    required = [step for step in steps if step.required]
    for chosen in range(2 ** len(unknown)):
        some = [step for at, step in enumerate(unknown) if chosen >> at & 1]
        if any(fits(order) for order in permutations(required + some)):
            return True
    return False


def fits(order: Sequence[Step]) -> bool:
    """Whether this order keeps real time and every step is possible where it stands."""
    state: Value = None
    for at, step in enumerate(order):
        if not step.possible(state) or any(
            later.returned < step.invoked for later in order[at + 1 :]
        ):
            return False
        state = step.after(state)
    return True


def anything(random: Random) -> Step:
    """Some step at some time."""
    invoked = random.randrange(8)
    lost = random.random() < 0.25
    returned = inf if lost else invoked + random.randint(1, 5)
    times: Times = {"invoked": invoked, "returned": returned}
    values = ("a", "b")
    makers = (
        lambda: write(random.choice(values), **times),
        lambda: read(random.choice((*values, None)), **times),
        lambda: seen(present=random.random() < 0.5, **times),
        lambda: swap(random.choice((*values, None)), random.choice(values), **times),
        lambda: differed(random.choice((*values, None)), **times),
        lambda: delete(**times),
    )
    return random.choice(makers)()


def test_agrees_with_the_definition() -> None:
    """Over some thousand small histories the search says what trying every order says."""
    random = Random(7)
    verdicts = []
    for _ in range(2_500):
        history = [anything(random) for _ in range(random.randint(1, 5))]
        verdict = check(history).linearizable
        assert verdict == by_trying(history), "\n".join(map(str, history))
        verdicts.append(verdict)
    assert 300 < sum(verdicts) < 2_200  # both answers were asked for


def lived(random: Random, length: int) -> list[Step]:
    """What clients of a real register record: each step happens at a moment within its time."""
    state: Value = None
    history = []
    for number in range(length):
        moment = number * 1.0
        times: Times = {
            "invoked": moment - random.uniform(0, 4),
            "returned": moment + random.uniform(0, 4),
        }
        kind = random.choice(("write", "read", "read", "seen", "delete", "swap"))
        lost = random.random() < 0.15
        step = read(state, **times)
        if kind == "write":
            step = write(f"v{number}", **times)
        elif kind == "seen":
            step = seen(present=state is not None, **times)
        elif kind == "delete" and state is not None:
            step = delete(**times)
        elif kind == "swap":
            step = swap(state, f"v{number}", **times)
        if lost:
            step = step.unknown()
        if not lost or random.random() < 0.5:
            state = step.after(state)
        history.append(step)
    return history


def test_decides_long_histories() -> None:
    """Forty steps with four at a time, some of them unknown, are decided, and rightly."""
    random = Random(11)
    for _ in range(150):
        assert check(lived(random, 40)).linearizable


def test_finds_the_one_lie_in_a_long_history() -> None:
    """A single read of a value that was deleted long before is found among forty steps."""
    random = Random(13)
    for _ in range(60):
        history = lived(random, 40)
        last = max(step.returned for step in history if step.required)
        first = write("first", invoked=-30, returned=-20)
        end = delete(invoked=-10, returned=-5)
        lie = read("first", invoked=last + 1, returned=last + 2)
        assert check([first, end, *history]).linearizable
        assert not check([first, end, *history, lie]).linearizable
