# SPDX-License-Identifier: Apache-2.0
"""Compares a registry with the ledger, through the protocol and nothing else.

Nobody writes while an audit looks. What it has seen is settled: a state that was uncertain before
must stay as it was seen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from tests.durability.pushing import offset_of
from tests.support.images import blob_path, digest_of, manifest_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.durability.ledger import Key, Ledger, Session, State
    from tests.support.wire import Answer, Wire

PAGE = 7


class Audit:
    """Looks at things one by one."""

    def __init__(self, wire: Wire, ledger: Ledger) -> None:
        self._wire = wire
        self._ledger = ledger

    def everything(self) -> None:
        """Compare all there is."""
        self.these(self._ledger.possible)

    def these(self, keys: Iterable[Key]) -> None:
        """Compare these things, all lists and all open sessions."""
        for key in sorted(keys):
            self._ledger.settle(key, self._look(key))
        for repository in self._ledger.repositories():
            self._tags(repository)
        self._catalog()
        self._referrers(key for key in keys if key.kind == "manifest")
        for session in self._ledger.sessions:
            if not session.ended:
                self._session(session)
        self._ledger.sessions[:] = [one for one in self._ledger.sessions if not one.ended]

    def _look(self, key: Key) -> State:
        return self._blob(key) if key.kind == "blob" else self._manifest(key)

    def _blob(self, key: Key) -> State:
        target = blob_path(key.repository, key.name)
        answer, head = self._wire.get(target), self._wire.head(target)
        assert answer.status == head.status, (answer, head)
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        assert int(head.headers["Content-Length"]) == len(answer.body)
        return self._hashed(answer, key.name)

    def _manifest(self, key: Key) -> State:
        answer = self._wire.get(manifest_path(key.repository, key.name))
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        digest = answer.headers["Docker-Content-Digest"]
        self._hashed(answer, digest)
        pushed = self._ledger.manifests[digest]
        assert answer.body == pushed.content.payload
        assert answer.headers["Content-Type"] == pushed.content.media_type
        for blob in pushed.blobs:
            head = self._wire.head(blob_path(key.repository, blob.digest))
            assert head.status == 200, f"{key} is readable and its {blob.digest} is not"
            assert head.headers["Content-Length"] == str(blob.size)
        return digest

    def _hashed(self, answer: Answer, digest: str) -> str:
        actual = digest_of(answer.body, digest.partition(":")[0])
        assert actual == digest, f"{digest} was answered with {len(answer.body)} other bytes"
        return digest

    def _tags(self, repository: str) -> None:
        listed = self._pages(f"/v2/{repository}/tags/list?n={PAGE}", "tags")
        expected = self._ledger.present("tag", repository)
        assert listed == sorted(expected), f"the tag list of {repository}"

    def _catalog(self) -> None:
        listed = self._pages(f"/v2/_catalog?n={PAGE}", "repositories")
        assert listed == sorted(set(listed))
        pushed_to = {
            name
            for name in self._ledger.repositories()
            for kind in ("blob", "manifest")
            if self._ledger.present(kind, name)
        }
        assert pushed_to <= set(listed)

    def _pages(self, target: str, name: str) -> list[str]:
        found: list[str] = []
        next_page: str | None = target
        while next_page is not None:
            answer = self._wire.get(next_page)
            if answer.status == 404:  # a repository into which no push has got yet
                return []
            assert answer.status == 200, answer
            document = cast("dict[str, list[str]]", answer.json())
            found += document[name]
            link = answer.headers.get("Link")
            next_page = link[1 : link.index(">")] if link else None
        return found

    def _referrers(self, keys: Iterable[Key]) -> None:
        """Each subject's list names exactly the referrers that are there."""
        asked = {
            (key.repository, self._ledger.manifests[key.name].subject or key.name) for key in keys
        }
        for repository, subject in asked:
            answer = self._wire.get(f"/v2/{repository}/referrers/{subject}")
            assert answer.status == 200, answer
            listed = [descriptor["digest"] for descriptor in json.loads(answer.body)["manifests"]]
            assert listed == sorted(
                digest
                for digest in self._ledger.present("manifest", repository)
                if self._ledger.manifests[digest].subject == subject
            ), f"the referrers of {subject} in {repository}"

    def _session(self, session: Session) -> None:
        answer = self._wire.get(session.location)
        if answer.status == 404:
            assert session.ending, f"the registry has forgotten {session}"
            return
        assert answer.status == 204, answer
        offset = offset_of(answer)
        assert session.acknowledged <= offset <= session.sent, (session, offset)
