# SPDX-License-Identifier: Apache-2.0
"""Upload sessions against a model that is a byte string: whatever clients do, in whatever order.

Requests are whole, cut, held in the middle while others come, out of order, repeated, wrong. After
each step every session is exactly where the model says, every blob is what was sent, and no upload
has a file that no session knows.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.asgi import InProcess, Pending, registry_app
from tests.support.images import blob_path, digest_of, with_digest

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.http.types import ASGIApp
    from tests.support.engines import Engine
    from tests.support.wire import Answer, Header

REPOSITORIES = ("a", "b/blobs/uploads")
# Few and short, so that different sessions often hold the same bytes.
data = st.binary(min_size=2, max_size=6) | st.sampled_from([b"", b"same content", b"x" * 300_000])
pieces = st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=3)
algorithms = st.sampled_from(["sha256", "sha256", "sha512"])
repositories = st.sampled_from(REPOSITORIES)
# Which session a step is about: mostly one that is there, now and then one that is gone.
choices = st.integers(0, 11)
GONE = 10


@dataclass(eq=False)
class Session:
    """What a session should be: the bytes it has, and whether it is still there."""

    repository: str
    location: str
    received: bytes = b""
    alive: bool = True
    held: bool = False

    @property
    def range(self) -> str:
        """Its Range header."""
        return f"0-{max(len(self.received) - 1, 0)}"


@dataclass(eq=False)
class Held:
    """A request in the middle of its body: for a PUT, with the digest that it promises."""

    session: Session
    pending: Pending
    promised: str = ""
    sent: bytes = field(default=b"")


class UploadMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__()
        self._folder = folder
        self._engine = engine
        self._client = InProcess(self._app())
        self._client.__enter__()
        self._all: list[Session] = []
        self._held: list[Held] = []
        self._blobs: dict[tuple[str, str], bytes] = {}

    def teardown(self) -> None:
        """End the registry and leave nothing behind."""
        self._cut_all()
        self._client.__exit__()
        shutil.rmtree(self._folder)
        self._engine.clear()

    def _app(self) -> ASGIApp:
        return registry_app(self._folder, self._engine.config)

    # Sessions begin

    @rule(repository=repositories, algorithm=st.none() | algorithms)
    def start(self, repository: str, algorithm: str | None) -> None:
        """A new session is empty."""
        self._open(repository, f"?digest-algorithm={algorithm}" if algorithm else "")

    def _open(self, repository: str, query: str) -> Session:
        answer = self._client.request("POST", f"/v2/{repository}/blobs/uploads/{query}")
        assert answer.status == 202, answer
        session = Session(repository, answer.location)
        assert answer.headers["Range"] == "0-0"
        self._all.append(session)
        return session

    # Sessions grow

    @rule(choice=choices, body=data, announced=st.booleans(), ranged=st.booleans())
    def append(self, choice: int, body: bytes, *, announced: bool, ranged: bool) -> None:
        """A chunk that continues the upload is taken, with or without its length and place."""
        session = self._choose(choice)
        headers = self._place(session, len(body)) if ranged and body else []
        answer = self._patch(session, body, headers, announced=announced)
        if self._refused(session, answer):
            return
        session.received += body
        self._stands(session, answer, 202)

    @rule(choice=choices, body=data.filter(bool), distance=st.integers(-3, 3).filter(bool))
    def append_elsewhere(self, choice: int, body: bytes, distance: int) -> None:
        """A chunk that begins anywhere else changes nothing and learns where the upload is."""
        session = self._choose(choice)
        start = len(session.received) + distance
        if start < 0:
            return
        place = [("Content-Range", f"{start}-{start + len(body) - 1}")]
        answer = self._patch(session, body, place, announced=True)
        if not self._refused(session, answer):
            self._stands(session, answer, 416)

    @rule(choice=choices, body=data, more=st.integers(1, 3), announced=st.booleans())
    def append_too_little(self, choice: int, body: bytes, more: int, *, announced: bool) -> None:
        """A body shorter than its Content-Range is an error; unless that was plain to see before
        the first byte, what came is kept.
        """
        session = self._choose(choice)
        answer = self._patch(session, body, self._place(session, len(body) + more), announced)
        if self._refused(session, answer):
            return
        assert answer.status == 400, answer
        assert answer.error_codes() == ["SIZE_INVALID"]
        if not announced:
            session.received += body

    @rule(choice=choices, body=st.binary(min_size=2, max_size=6), announced=st.booleans())
    def append_too_much(self, choice: int, body: bytes, *, announced: bool) -> None:
        """A body longer than its Content-Range is an error, and nothing of it is kept."""
        session = self._choose(choice)
        answer = self._patch(session, body, self._place(session, len(body) - 1), announced)
        if not self._refused(session, answer):
            assert answer.status == 400, answer
            assert answer.error_codes() == ["SIZE_INVALID"]

    @rule(choice=choices, body=pieces, ranged=st.booleans())
    def append_cut(self, choice: int, body: list[bytes], *, ranged: bool) -> None:
        """What had arrived when the connection broke is kept, to the byte."""
        session = self._choose(choice)
        headers = self._place(session, 1000) if ranged else []
        self._client.cut("PATCH", session.location, *headers, pieces=body)
        if session.alive and not session.held:
            session.received += b"".join(body)

    # Sessions end

    @rule(choice=choices, rest=data, algorithm=algorithms, ranged=st.booleans())
    def finish(self, choice: int, rest: bytes, algorithm: str, *, ranged: bool) -> None:
        """With the right digest the upload becomes a blob."""
        session = self._choose(choice)
        whole = session.received + rest
        digest = digest_of(whole, algorithm)
        headers = self._place(session, len(rest)) if ranged and rest else []
        target = with_digest(session.location, digest)
        answer = self._client.request("PUT", target, *headers, body=rest)
        if not session.alive:
            self._repeated(session, digest, answer)
        elif session.held:
            self._refused(session, answer)
        else:
            self._finished(session, digest, whole, answer)

    @rule(choice=choices, rest=data)
    def finish_wrong(self, choice: int, rest: bytes) -> None:
        """With a wrong digest the session is gone and nothing became of it."""
        session = self._choose(choice)
        digest = digest_of(session.received + rest + b"!")
        target = with_digest(session.location, digest)
        answer = self._client.request("PUT", target, body=rest)
        if not session.alive:
            self._repeated(session, digest, answer)
        elif session.held:
            self._refused(session, answer)
        else:
            assert answer.status == 400, answer
            assert answer.error_codes() == ["DIGEST_INVALID"]
            session.alive = False

    @rule(choice=choices, query=st.sampled_from(["", "?digest=", "?digest=sha256:short"]))
    def ask_for_nonsense(self, choice: int, query: str) -> None:
        """Another repository's session, or an end without a digest, and nothing happens at all."""
        session = self._choose(choice)
        elsewhere = session.location.replace("/v2/", "/v2/stranger/", 1)
        answer = self._client.request("PATCH", elsewhere, body=b"abc")
        assert answer.status == 404, answer
        answer = self._client.request("PUT", session.location + query, body=b"abc")
        assert answer.status == 400, answer
        assert answer.error_codes() == ["DIGEST_INVALID"]

    @rule(choice=choices, body=pieces)
    def finish_cut(self, choice: int, body: list[bytes]) -> None:
        """A closing PUT that breaks off is one more chunk; the session goes on."""
        session = self._choose(choice)
        digest = digest_of(session.received + b"".join(body))
        self._client.cut("PUT", with_digest(session.location, digest), pieces=body)
        if session.alive and not session.held:
            session.received += b"".join(body)

    @rule(choice=choices)
    def cancel(self, choice: int) -> None:
        """A cancelled session is gone, also while somebody writes to it."""
        session = self._choose(choice)
        answer = self._client.request("DELETE", session.location)
        assert answer.status == (204 if session.alive else 404), answer
        session.alive = False

    @rule(repository=repositories, body=data, algorithm=algorithms, right=st.booleans())
    def post_at_once(self, repository: str, body: bytes, algorithm: str, *, right: bool) -> None:
        """A blob in one request is there, or with a wrong digest it is not."""
        digest = digest_of(body if right else body + b"!", algorithm)
        target = with_digest(f"/v2/{repository}/blobs/uploads/", digest)
        answer = self._client.request("POST", target, body=body)
        assert answer.status == (201 if right else 400), answer
        if right:
            self._blobs[repository, digest] = body

    @rule(repository=repositories, body=pieces)
    def post_cut(self, repository: str, body: list[bytes]) -> None:
        """A blob in one request that breaks off leaves nothing."""
        target = with_digest(f"/v2/{repository}/blobs/uploads/", digest_of(b"".join(body)))
        self._client.cut("POST", target, pieces=body)

    # Several at a time

    @rule(choice=choices, beginning=pieces, closing=st.booleans())
    def hold(self, choice: int, beginning: list[bytes], *, closing: bool) -> None:
        """A request stops in the middle of its body, for others to come between."""
        session = self._choose(choice)
        if session.held or not session.alive:
            return
        sent = b"".join(beginning)
        promised = digest_of(session.received + sent) if closing else ""
        target = with_digest(session.location, promised) if closing else session.location
        pending = self._client.begin("PUT" if closing else "PATCH", target)
        pending.send(*beginning)
        assert not pending.over, pending.answer
        session.held = True
        self._held.append(Held(session, pending, promised, sent))

    @precondition(lambda self: self._held)
    @rule(last=st.booleans(), cut=st.booleans())
    def release(self, *, last: bool, cut: bool) -> None:
        """A held request goes on to its end, or breaks off."""
        held = self._held.pop(-1 if last else 0)
        session, session_was_alive = held.session, held.session.alive
        session.held = False
        if cut:
            held.pending.cut()
            session.received += held.sent
            return
        answer = held.pending.finish()
        if not session_was_alive:
            self._outlived(held, answer)
        elif held.promised:
            self._finished(session, held.promised, session.received + held.sent, answer)
        else:
            session.received += held.sent
            self._stands(session, answer, 202)

    @rule()
    def restart(self) -> None:
        """An orderly restart changes nothing, however many requests it breaks off."""
        self._cut_all()
        self._client.__exit__()
        self._client = InProcess(self._app())
        self._client.__enter__()

    # What must hold

    @invariant()
    def sessions_are_where_they_should_be(self) -> None:
        """GET tells of each session what the model knows."""
        for session in self._all:
            answer = self._client.request("GET", session.location)
            if session.alive:
                self._stands(session, answer, 204)
            else:
                assert answer.status == 404, answer

    @invariant()
    def blobs_are_what_was_sent(self) -> None:
        """Every blob is readable and nothing is readable that was never finished."""
        for (repository, digest), content in self._blobs.items():
            answer = self._client.request("GET", blob_path(repository, digest))
            assert (answer.status, answer.body) == (200, content), (digest, answer)
        for session in self._all:
            digest = digest_of(session.received)
            answer = self._client.request("HEAD", blob_path(session.repository, digest))
            there = (session.repository, digest) in self._blobs
            assert answer.status == (200 if there else 404), answer

    @invariant()
    def no_file_is_left_over(self) -> None:
        """What lies in the folder of uploads belongs to a session that is there."""
        files = {path.name for path in (self._folder / "data" / "uploads").iterdir()}
        alive = {session.location.rpartition("/")[2] for session in self._all if session.alive}
        assert files <= alive

    # How it is asked

    def _choose(self, choice: int) -> Session:
        gone = [session for session in self._all if not session.alive]
        if choice >= GONE and gone:
            return gone[choice % len(gone)]
        there = [session for session in self._all if session.alive]
        return there[choice % len(there)] if there else self._open("a", "")

    def _patch(
        self,
        session: Session,
        body: bytes,
        headers: list[Header],
        announced: bool,  # noqa: FBT001
    ) -> Answer:
        length = [("Content-Length", str(len(body)))] if announced else []
        pending = self._client.begin("PATCH", session.location, *length, *headers)
        pending.send(body[:1])
        return pending.answer if pending.over else pending.finish(body[1:])

    def _place(self, session: Session, length: int) -> list[Header]:
        start = len(session.received)
        return [("Content-Range", f"{start}-{start + length - 1}")]

    def _refused(self, session: Session, answer: Answer) -> bool:
        """Whether nothing can be written now: the session is gone, or somebody else is writing."""
        if not session.alive:
            assert answer.status == 404, answer
        elif session.held:
            self._stands(session, answer, 416)
        return session.held or not session.alive

    def _stands(self, session: Session, answer: Answer, status: int) -> None:
        assert answer.status == status, answer
        assert answer.headers["Range"] == session.range
        assert answer.location == session.location

    def _finished(self, session: Session, digest: str, whole: bytes, answer: Answer) -> None:
        assert answer.status == 201, answer
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.location == blob_path(session.repository, digest)
        session.alive = False
        self._blobs[session.repository, digest] = whole

    def _repeated(self, session: Session, digest: str, answer: Answer) -> None:
        """A PUT to a session that is gone: the blob is the best answer, if it is there."""
        there = (session.repository, digest) in self._blobs
        assert answer.status == (201 if there else 404), answer

    def _outlived(self, held: Held, answer: Answer) -> None:
        """A request that was under way when its session was cancelled may fail or still succeed."""
        if held.promised and answer.status == 201:
            whole = held.session.received + held.sent
            self._blobs[held.session.repository, held.promised] = whole
        else:
            assert answer.status in {202, 404}, answer

    def _cut_all(self) -> None:
        for held in self._held:
            held.pending.cut()
            held.session.held = False
            held.session.received += held.sent
        self._held.clear()


def test_upload_sessions(tmp_path: Path, engine: Engine) -> None:
    """Upload sessions behave as the model does."""
    numbers = count()

    def machine() -> UploadMachine:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return UploadMachine(folder, engine)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # a factory will do, though its stub asks for a class
        settings=settings(max_examples=engine.examples(60), stateful_step_count=30),
    )
