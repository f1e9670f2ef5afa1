# SPDX-License-Identifier: Apache-2.0
"""What clients know: which states the registry may be in, given what it has acknowledged.

Each thing that can change has the set of states it may be in. An acknowledged change leaves one; a
change whose answer never came leaves both, before and after, until an audit has looked. Every key
is written by one client at a time, or by several that all want the same state.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.images import Content

Kind = Literal["blob", "manifest", "tag"]
# The digest that is there, or None for nothing.
State = str | None


class Key(NamedTuple):
    """One thing that is there or not; `name` is a digest or a tag."""

    kind: Kind
    repository: str
    name: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest as it was sent, and the manifests and blobs that it names."""

    content: Content
    blobs: tuple[Content, ...] = ()
    subject: str | None = None


@dataclass(slots=True)
class Session:
    """An upload session as its client knows it: so much is acknowledged, so much was sent."""

    repository: str
    blob: Content
    location: str
    acknowledged: int = 0
    sent: int = 0
    ending: bool = False
    ended: bool = False


@dataclass(slots=True)
class Ledger:
    """Everything that all clients know together."""

    possible: dict[Key, set[State]] = field(default_factory=dict)
    manifests: dict[str, Pushed] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    changed: set[Key] = field(default_factory=set)
    acknowledged: int = 0
    unanswered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def attempt(self, changes: Mapping[Key, State]) -> Iterator[None]:
        """A request that makes these changes, all of them or none; leaving normally is its 2xx."""
        with self._lock:
            for key, state in changes.items():
                self.possible.setdefault(key, {None}).add(state)
                self.changed.add(key)
            self.unanswered += 1
        yield
        with self._lock:
            for key, state in changes.items():
                self.possible[key] = {state}
            self.unanswered -= 1
            self.acknowledged += 1

    def settle(self, key: Key, state: State) -> None:
        """An audit has seen it: from now on it is in this state."""
        with self._lock:
            assert state in self.possible[key], (
                f"{key} is {state}, and may only be one of {self.possible[key]}"
            )
            self.possible[key] = {state}

    def state(self, key: Key) -> State:
        """The state of something that nobody is changing."""
        (state,) = self.possible.get(key, {None})
        return state

    def state_or_none(self, key: Key) -> State:
        """What is certainly there; None also while somebody is changing it."""
        states = self.possible.get(key, {None})
        return next(iter(states)) if len(states) == 1 else None

    def present(self, kind: Kind, repository: str) -> dict[str, str]:
        """What is certainly there: names with their digests, in the order they were first tried."""
        with self._lock:
            return {
                key.name: state
                for key, states in self.possible.items()
                if key.kind == kind and key.repository == repository
                for state in states
                if len(states) == 1 and state is not None
            }

    def repositories(self) -> list[str]:
        """Every repository that anybody has tried to push to."""
        return sorted({key.repository for key in self.possible})

    def open_session(self, session: Session) -> None:
        """A session was acknowledged."""
        with self._lock:
            self.sessions.append(session)

    def take_changed(self) -> set[Key]:
        """What was touched since this was last asked."""
        with self._lock:
            changed, self.changed = self.changed, set()
        return changed
