# SPDX-License-Identifier: Apache-2.0
"""Every way to push a blob, each of which can be taken up again after the registry has died.

A way that uses a session writes down what it knows of it before and after each request. Whoever
comes back asks the session where it is and goes on from there; only a session that was being ended
may be gone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.durability.ledger import Key, Session
from tests.support.images import OCTET_STREAM, blob_path, with_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.durability.ledger import Ledger
    from tests.support.images import Content
    from tests.support.wire import Answer, Header, Wire

OCTETS: Header = ("Content-Type", OCTET_STREAM)


def offset_of(answer: Answer) -> int:
    """How many bytes a session says it has: `0-0` stands for none (no test sends only one)."""
    last = int(answer.headers["Range"].removeprefix("0-"))
    return last + 1 if last else 0


class BlobPusher:
    """One client's ways to push blobs."""

    def __init__(self, wire: Wire, ledger: Ledger, random: Random) -> None:
        self._wire = wire
        self._ledger = ledger
        self._random = random
        self._sessions: dict[Key, Session] = {}

    def push(self, repository: str, blob: Content) -> None:
        """Push the blob in some way, or go on where the last attempt ended."""
        key = Key("blob", repository, blob.digest)
        session = self._sessions.get(key)
        if session is not None and self._resume(key, session):
            return
        ways = (self._at_once, self._posted, self._streamed, self._chunked)
        self._random.choice(ways)(key, blob)

    def cancel(self, repository: str, blob: Content) -> None:
        """Begin a session, send something, and think better of it."""
        key = Key("blob", repository, blob.digest)
        session = self._sessions.get(key) or self._open(key, blob)
        if not session.sent:
            self._patch(session, blob.payload[: len(blob.payload) // 2], chunked=True)
        session.ending = True
        answer = self._wire.delete(session.location)
        assert answer.status == 204, answer
        self._end(key, session)

    def _posted(self, key: Key, blob: Content) -> None:
        target = with_digest(f"/v2/{key.repository}/blobs/uploads/", blob.digest)
        with self._ledger.attempt({key: blob.digest}):
            answer = self._wire.post(target, OCTETS, body=blob.payload)
            assert answer.status == 201, answer

    def _at_once(self, key: Key, blob: Content) -> None:
        session = self._open(key, blob)
        self._finish(key, session, blob.payload)

    def _streamed(self, key: Key, blob: Content) -> None:
        session = self._open(key, blob)
        self._patch(session, blob.payload, chunked=True)
        self._finish(key, session, b"")

    def _chunked(self, key: Key, blob: Content) -> None:
        self._continue(key, self._open(key, blob))

    def _continue(self, key: Key, session: Session) -> None:
        """Send what is missing in chunks, the last of them perhaps with the closing PUT."""
        payload = session.blob.payload
        keep = self._random.choice((0, len(payload) // 5))
        size = max(len(payload) // self._random.randint(2, 5), 2)
        while len(payload) - session.acknowledged > keep + 1:
            self._patch(session, payload[session.acknowledged :][:size], chunked=False)
        self._finish(key, session, payload[session.acknowledged :])

    def _resume(self, key: Key, session: Session) -> bool:
        """Go on with a session that a kill has interrupted; whether the blob is now pushed."""
        answer = self._wire.get(session.location)
        if answer.status == 404:
            assert session.ending, f"the registry has forgotten {session}"
            self._end(key, session)
            if self._wire.head(blob_path(key.repository, key.name)).status == 200:
                self._ledger.settle(key, key.name)
                return True
            return False
        assert answer.status == 204, answer
        session.acknowledged = offset_of(answer)
        session.ending = False
        if self._random.random() < 0.2:
            self.cancel(key.repository, session.blob)
            return False
        self._continue(key, session)
        return True

    def _open(self, key: Key, blob: Content) -> Session:
        algorithm = blob.digest.partition(":")[0]
        announced = algorithm != "sha256" and self._random.random() < 0.5
        query = f"?digest-algorithm={algorithm}" if announced else ""
        answer = self._wire.post(f"/v2/{key.repository}/blobs/uploads/{query}")
        assert answer.status == 202, answer
        session = Session(key.repository, blob, answer.location)
        self._sessions[key] = session
        self._ledger.open_session(session)
        return session

    def _patch(self, session: Session, chunk: bytes, *, chunked: bool) -> None:
        start = session.acknowledged
        session.sent = start + len(chunk)
        place: tuple[Header, ...] = ()
        if not chunked:
            place = (
                ("Content-Range", f"{start}-{start + len(chunk) - 1}"),
                ("Content-Length", str(len(chunk))),
            )
        answer = self._wire.patch(session.location, *place, OCTETS, body=self._slowly(chunk))
        assert answer.status == 202, answer
        assert offset_of(answer) == session.sent, answer
        session.acknowledged = session.sent

    def _finish(self, key: Key, session: Session, rest: bytes) -> None:
        session.sent = session.acknowledged + len(rest)
        session.ending = True
        with self._ledger.attempt({key: key.name}):
            target = with_digest(session.location, key.name)
            answer = self._wire.put(target, OCTETS, body=rest)
            assert answer.status == 201, answer
        self._end(key, session)

    def _end(self, key: Key, session: Session) -> None:
        session.ended = True
        self._sessions.pop(key, None)

    def _slowly(self, chunk: bytes) -> Iterator[bytes]:
        """The chunk in a few pieces, now and then with a pause in which a kill can fall."""
        size = max(len(chunk) // self._random.randint(1, 4), 1)
        for start in range(0, len(chunk), size):
            if self._random.random() < 0.1:
                time.sleep(self._random.uniform(0, 0.02))
            yield chunk[start : start + size]
