# SPDX-License-Identifier: Apache-2.0
"""Clients that push, move, mount and delete until the registry dies under them, and then go on.

Each has a repository of its own, where it does as it likes, and shares another with all of them,
where it only adds. What a client does next depends on its random numbers and on what it knows to be
there; what it has lost in the middle it mostly tries again.
"""

from __future__ import annotations

import http.client
import json
import threading
from random import Random
from typing import TYPE_CHECKING

from tests.durability.ledger import Key, Pushed
from tests.durability.pushing import BlobPusher
from tests.support.images import (
    EMPTY_CONFIG,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    Content,
    image_manifest,
    index,
    json_bytes,
    manifest_path,
)
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.durability.gate import Gate
    from tests.durability.ledger import Ledger, State

SHARED = "crash/shared"
TAGS = 6
# What every client pushes, everywhere: the same content arrives from several sides at once.
POOL = tuple(
    Content(Random(number).randbytes(20_000 * (number + 1)), OCI_LAYER, algorithm)
    for number, algorithm in enumerate(("sha256", "sha256", "sha512", "sha256"))
)


class Client:
    """One pushing client; `failure` is what it found wrong."""

    def __init__(self, number: int, seed: str, url: str, ledger: Ledger, gate: Gate) -> None:
        self.thread = threading.Thread(target=self._run, name=f"client {number}")
        self.failure: BaseException | None = None
        self._number = number
        self._own = f"crash/client-{number}"
        self._random = Random(f"{seed}/{number}")
        self._ledger = ledger
        self._gate = gate
        self._wire = Wire(url, seconds=60)
        self._pusher = BlobPusher(self._wire, ledger, self._random)
        self._again: Callable[[], None] | None = None
        self._deeds: dict[Callable[[], Callable[[], None]], int] = {
            self._image: 8,
            self._blob: 5,
            self._tag_again: 4,
            self._artifact: 3,
            self._index: 2,
            self._mount: 3,
            self._delete_tag: 2,
            self._delete_manifest: 2,
            self._delete_blob: 2,
            self._cancel: 1,
        }

    def _run(self) -> None:
        """Work whenever the gate is open."""
        try:
            lost = 0
            while (opening := self._gate.enter(after=lost)) is not None:
                lost = lost if self._work() else opening
        except BaseException as failure:  # noqa: BLE001 (the test raises it)
            self.failure = failure
        finally:
            self._wire.close()
            self._gate.leave()

    def _work(self) -> bool:
        """One deed; False when the registry was lost in the middle of it."""
        deed = self._again or self._next()
        self._again = deed if self._random.random() < 0.8 else None
        try:
            deed()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            self._wire.close()
            return False
        self._again = None
        return True

    def _next(self) -> Callable[[], None]:
        (choose,) = self._random.choices([*self._deeds], [*self._deeds.values()])
        return choose()

    # What there is to do: each chooses once, and returns what can be tried again and again.

    def _image(self) -> Callable[[], None]:
        repository = self._random.choice((self._own, self._own, SHARED))
        layers = [self._new_blob(OCI_LAYER) for _ in range(self._random.randint(0, 2))]
        layers += self._random.sample(POOL, self._random.randint(0, 2))
        config = Content(json_bytes({"history": self._random.randbytes(8).hex()}), OCI_CONFIG)
        algorithm = self._random.choice(("sha256", "sha256", "sha512"))
        manifest = image_manifest(config, layers, algorithm=algorithm)
        tags = [self._tag()] if algorithm == "sha256" else []
        return lambda: self._push(repository, Pushed(manifest, (*layers, config)), tags)

    def _artifact(self) -> Callable[[], None]:
        subjects = [*self._ledger.present("manifest", self._own)]
        subject = (
            self._ledger.manifests[self._random.choice(subjects)].content if subjects else None
        )
        blob = self._new_blob("application/example")
        more: dict[str, object] = {"artifactType": "application/vnd.example.thing"}
        if subject is not None:
            more["subject"] = subject.descriptor()
        manifest = image_manifest(EMPTY_CONFIG, [blob], **more)  # type: ignore[arg-type]
        pushed = Pushed(manifest, (blob, EMPTY_CONFIG), subject.digest if subject else None)
        return lambda: self._push(self._own, pushed, [])

    def _index(self) -> Callable[[], None]:
        present = [*self._ledger.present("manifest", self._own)][-5:]
        children = [self._ledger.manifests[digest].content.descriptor() for digest in present]
        note = {"org.example.note": self._random.randbytes(8).hex()}
        manifest = index(children, media_type=OCI_INDEX, annotations=note)
        return lambda: self._push(self._own, Pushed(manifest), [self._tag()])

    def _blob(self) -> Callable[[], None]:
        blob = self._new_blob() if self._random.random() < 0.8 else self._random.choice(POOL)
        return lambda: self._pusher.push(self._own, blob)

    def _cancel(self) -> Callable[[], None]:
        blob = self._new_blob()
        done: list[bool] = []

        def cancel() -> None:
            if not done:
                done.append(True)
                self._pusher.cancel(self._own, blob)

        return cancel

    def _mount(self) -> Callable[[], None]:
        source, target = self._random.choice(((self._own, SHARED), (SHARED, self._own)))
        digests = [*self._ledger.present("blob", source)]
        if not digests:
            return self._blob()
        digest = self._random.choice(digests)
        named = self._random.choice((f"&from={source}", ""))

        def mount() -> None:
            if self._ledger.state_or_none(Key("blob", source, digest)) is None:
                return
            with self._ledger.attempt({Key("blob", target, digest): digest}):
                answer = self._wire.post(f"/v2/{target}/blobs/uploads/?mount={digest}{named}")
                assert answer.status == 201, answer

        return mount

    def _tag_again(self) -> Callable[[], None]:
        digests = [*self._ledger.present("manifest", self._own)]
        if not digests:
            return self._image()
        digest = self._random.choice(digests)
        tags = [f"again-{number}" for number in range(self._random.randint(1, 3))]

        def tag() -> None:
            if self._ledger.state(Key("manifest", self._own, digest)) is not None:
                self._put(self._own, self._ledger.manifests[digest], tags, by_digest=True)

        return tag

    def _delete_tag(self) -> Callable[[], None]:
        repository = self._random.choice((self._own, SHARED))
        mine = [
            tag
            for tag in self._ledger.present("tag", repository)
            if repository == self._own or tag.startswith(self._prefix)
        ]
        if not mine:
            return self._image()
        key = Key("tag", repository, self._random.choice(mine))
        return lambda: self._delete(manifest_path(key.repository, key.name), {key: None})

    def _delete_manifest(self) -> Callable[[], None]:
        digests = [*self._ledger.present("manifest", self._own)]
        if len(digests) < 4:
            return self._image()
        digest = self._random.choice(digests)

        def delete() -> None:
            changes: dict[Key, State] = {Key("manifest", self._own, digest): None}
            for tag, state in self._ledger.present("tag", self._own).items():
                if state == digest:
                    changes[Key("tag", self._own, tag)] = None
            self._delete(manifest_path(self._own, digest), changes)

        return delete

    def _delete_blob(self) -> Callable[[], None]:
        used = {
            blob.digest
            for pushed in self._ledger.manifests.copy().values()
            for blob in pushed.blobs
        }
        loose = [name for name in self._ledger.present("blob", self._own) if name not in used]
        if not loose:
            return self._blob()
        key = Key("blob", self._own, self._random.choice(loose))
        return lambda: self._delete(f"/v2/{self._own}/blobs/{key.name}", {key: None})

    # How it is done

    @property
    def _prefix(self) -> str:
        return f"client-{self._number}-"

    def _tag(self) -> str:
        return f"{self._prefix}{self._random.randrange(TAGS)}"

    def _new_blob(self, media_type: str = "application/octet-stream") -> Content:
        size = self._random.choice((10, 3_000, 30_000, 30_000, 400_000))
        algorithm = self._random.choice(("sha256", "sha256", "sha256", "sha512"))
        return Content(self._random.randbytes(size), media_type, algorithm)

    def _push(self, repository: str, pushed: Pushed, tags: Sequence[str]) -> None:
        for blob in pushed.blobs:
            if self._ledger.state_or_none(Key("blob", repository, blob.digest)) is None:
                self._pusher.push(repository, blob)
        self._put(repository, pushed, tags, by_digest=not tags)

    def _put(
        self, repository: str, pushed: Pushed, tags: Sequence[str], *, by_digest: bool
    ) -> None:
        manifest = pushed.content
        self._ledger.manifests[manifest.digest] = pushed
        changes: dict[Key, State] = {Key("tag", repository, tag): manifest.digest for tag in tags}
        changes[Key("manifest", repository, manifest.digest)] = manifest.digest
        target = manifest_path(repository, manifest.digest if by_digest else tags[0])
        if by_digest and tags:
            target += "?" + "&".join(f"tag={tag}" for tag in tags)
        with self._ledger.attempt(changes):
            answer = self._wire.put(
                target, ("Content-Type", manifest.media_type), body=manifest.payload
            )
            assert answer.status == 201, (target, json.loads(manifest.payload), answer)

    def _delete(self, target: str, changes: dict[Key, State]) -> None:
        if all(self._ledger.state(key) is None for key in changes):
            return
        with self._ledger.attempt(changes):
            answer = self._wire.delete(target)
            assert answer.status == 202, answer
