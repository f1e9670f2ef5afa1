# SPDX-License-Identifier: Apache-2.0
"""The same model of upload sessions over a store of objects, where no request holds a session.

Of several requests that began at the same place the first to end wins; the others learn where the
upload is now. Every object belongs to a blob, to a session, or is on its way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from tests.models.test_uploads import UploadMachine, choices, pieces
from tests.support.asgi import registry_app
from tests.support.extents import ExtentMemory
from tests.support.images import blob_path, digest_of, with_digest

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.http.types import ASGIApp
    from tests.models.test_uploads import Session
    from tests.support.asgi import Pending
    from tests.support.engines import Engine
    from tests.support.wire import Answer

_KEYS = "SELECT key FROM extents UNION SELECT key FROM upload_extents UNION SELECT key FROM garbage"
MORE_STEPS = 100


@dataclass(eq=False)
class Begun:
    """A request in the middle of its body, and what its session had when it began."""

    session: Session
    pending: Pending
    before: bytes
    sent: bytes
    promised: str = ""


class ExtentMachine(UploadMachine):
    """See the module."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        # Small objects, so that the longer bodies become several.
        self._store = ExtentMemory(extent_bytes=100_000)
        self._begun: list[Begun] = []
        super().__init__(folder, engine)

    def _app(self) -> ASGIApp:
        return registry_app(self._folder, self._engine.config, store=self._store)

    @rule(choice=choices, beginning=pieces, closing=st.booleans())
    def hold(self, choice: int, beginning: list[bytes], *, closing: bool) -> None:
        """A request stops in the middle of its body; others may come between, to the same place."""
        session = self._choose(choice)
        if not session.alive:
            return
        sent = b"".join(beginning)
        promised = digest_of(session.received + sent) if closing else ""
        target = with_digest(session.location, promised) if closing else session.location
        pending = self._client.begin("PUT" if closing else "PATCH", target)
        pending.send(*beginning)
        assert not pending.over, pending.answer
        self._begun.append(Begun(session, pending, session.received, sent, promised))

    @precondition(lambda self: self._begun)
    @rule(last=st.booleans(), cut=st.booleans())
    def release(self, *, last: bool, cut: bool) -> None:
        """A request that is under way goes on to its end, or breaks off."""
        begun = self._begun.pop(-1 if last else 0)
        session = begun.session
        overtaken = session.received != begun.before
        if cut:
            self._cut(begun)
            return
        answer = begun.pending.finish()
        if not session.alive:
            self._too_late(begun, answer)
        elif overtaken:
            self._stands(session, answer, 416)
        elif begun.promised:
            self._finished(session, begun.promised, begun.before + begun.sent, answer)
        else:
            session.received += begun.sent
            self._stands(session, answer, 202)

    @rule()
    def sweep(self) -> None:
        """The sweeper runs at every start."""
        self.restart()

    def _too_late(self, begun: Begun, answer: Answer) -> None:
        there = (begun.session.repository, begun.promised) in self._blobs
        assert answer.status == (201 if begun.promised and there else 404), answer

    def _cut(self, begun: Begun) -> None:
        begun.pending.cut()
        session = begun.session
        if session.alive and session.received == begun.before:
            session.received += begun.sent

    def _cut_all(self) -> None:
        for begun in self._begun:
            self._cut(begun)
        self._begun.clear()

    @invariant()
    def no_file_is_left_over(self) -> None:
        """Every object is known to the catalogue, and what a blob or session needs is there."""
        known = self._engine.column(self._folder / "data", _KEYS)
        for _ in range(MORE_STEPS):
            if set(self._store.by_key) <= known:
                break
            # A request that broke off is still being cleared up, which goes on while another runs.
            self._client.request("HEAD", blob_path("a", digest_of(b"")))
            known = self._engine.column(self._folder / "data", _KEYS)
        gone = self._engine.column(self._folder / "data", "SELECT key FROM garbage")
        assert set(self._store.by_key) <= known
        assert known - gone <= set(self._store.by_key)

    @invariant()
    def the_store_knows_every_blob(self) -> None:
        """Without the catalogue each blob could be found again."""
        found = {
            blob.digest: b"".join(self._store.by_key[extent.key] for extent in blob.extents)
            for blob in self._store.recorded.values()
            if all(extent.key in self._store.by_key for extent in blob.extents)
        }
        for (_, digest), content in self._blobs.items():
            assert found.get(digest) == content  # type: ignore[call-overload]


def test_upload_sessions_over_objects(tmp_path: Path, engine: Engine) -> None:
    """Upload sessions over objects behave as the model does."""
    numbers = count()

    def machine() -> ExtentMachine:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return ExtentMachine(folder, engine)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # a factory will do, though its stub asks for a class
        settings=settings(max_examples=engine.examples(60), stateful_step_count=30),
    )
    assert not list(tmp_path.iterdir()), "a machine has left its folder"
