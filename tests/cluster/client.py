# SPDX-License-Identifier: Apache-2.0
"""A client of the storm: pushes, pulls, tags and deletes, and writes down what it saw.

What it does next comes from its random numbers and from what it has seen. It never repeats a
request that had no answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TYPE_CHECKING, Protocol, Unpack

from tests.cluster.asking import Asker, Unknown
from tests.cluster.caller import Unheard
from tests.cluster.history import Pushed
from tests.cluster.linearizability import delete, differed, read, seen, swap, write
from tests.cluster.uploads import Uploads
from tests.support.images import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    OCTET_STREAM,
    Content,
    blob_path,
    digest_of,
    image_manifest,
    json_bytes,
    manifest_path,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from collections.abc import Set as AbstractSet

    from tests.cluster.history import History, Tag
    from tests.cluster.linearizability import Step, Times
    from tests.support.wire import Answer, Header

SIZES = (10, 2_000, 30_000, 30_000, 200_000)
PAUSE_SECONDS = 0.02
READS = 4
ACCEPT: Header = ("Accept", OCI_MANIFEST)


class Told(Protocol):
    """Makes the step from what was answered, or from None when nothing was."""

    def __call__(self, answer: Answer | None, /, **times: Unpack[Times]) -> Step: ...


@dataclass(eq=False)
class Client:
    """One of many."""

    number: int
    seed: str
    port: int
    history: History

    def __post_init__(self) -> None:
        self._random = Random(f"{self.seed}/{self.number}")
        self._asker = Asker(self._name, self.port, self.history)
        self._uploads = Uploads(self._asker, self._random)
        self._blobs: dict[str, list[Content]] = {name: [] for name in self.history.repositories}
        self._seen: dict[Tag, str] = {}
        self._deeds: dict[Callable[[str], Awaitable[object]], int] = {
            self._push_blob: 5,
            self._write_tag: 6,
            self._create_tag: 2,
            self._swap_tag: 2,
            self._read_tag: 9,
            self._pull: 3,
            self._read_acknowledged: 4,
            self._delete_tag: 3,
            self._list_tags: 2,
        }

    async def run(self, over: asyncio.Event) -> None:
        """Work until it is over."""
        try:
            while not over.is_set():
                await self._work()
                await asyncio.sleep(self._random.uniform(0, PAUSE_SECONDS))
        finally:
            self._asker.close()

    async def _work(self) -> None:
        (deed,) = self._random.choices([*self._deeds], [*self._deeds.values()])
        name = deed.__name__.strip("_")
        try:
            await deed(self._random.choice(self.history.repositories))
        except (Unheard, Unknown) as outcome:
            self.history.outcomes[name, type(outcome).__name__.lower()] += 1
            await asyncio.sleep(0.05)
        else:
            self.history.outcomes[name, "ok"] += 1

    # -- blobs ---------------------------------------------------------------------------------

    async def _push_blob(self, repository: str) -> None:
        await self._new_blob(repository, OCTET_STREAM)

    async def _new_blob(self, repository: str, media_type: str) -> Content:
        """Push a blob that nobody has seen; returning means that it is acknowledged."""
        random = self._random
        payload = random.randbytes(random.choice(SIZES))
        if media_type == OCI_CONFIG:
            payload = json_bytes({"history": random.randbytes(12).hex()})
        blob = Content(payload, media_type, random.choice(("sha256", "sha256", "sha512")))
        await self._uploads.push(repository, blob)
        self._blobs[repository].append(blob)
        self.history.blobs[repository, blob.digest] = blob
        return blob

    # -- tags ----------------------------------------------------------------------------------

    async def _write_tag(self, repository: str) -> None:
        pushed = await self._image(repository)
        value = pushed.content.digest

        def told(_: Answer | None, **times: Unpack[Times]) -> Step:
            return write(value, self._name, **times)

        await self._put(self._tag(repository), pushed, told)

    async def _create_tag(self, repository: str) -> None:
        await self._swap(self._tag(repository), None, ("If-None-Match", "*"))

    async def _swap_tag(self, repository: str) -> None:
        tag = self._tag(repository)
        expected = self._seen.get(tag)
        if expected is None:
            await self._read_tag(repository)
        else:
            await self._swap(tag, expected, ("If-Match", f'"{expected}"'))

    async def _swap(self, tag: Tag, expected: str | None, condition: Header) -> None:
        pushed = await self._image(tag.repository)
        value = pushed.content.digest

        def told(answer: Answer | None, **times: Unpack[Times]) -> Step:
            if answer is not None and answer.status == 412:
                return differed(expected, self._name, **times)
            return swap(expected, value, self._name, **times)

        await self._put(tag, pushed, told, condition, refusal={412})

    async def _delete_tag(self, repository: str) -> None:
        tag = self._tag(repository)

        def told(answer: Answer | None, **times: Unpack[Times]) -> Step:
            if answer is not None and answer.status == 404:
                return read(None, self._name, **times)
            return delete(self._name, **times)

        await self._change(
            tag, told, self._asker.ask("DELETE", manifest_path(*tag), expected={202, 404})
        )

    async def _read_tag(self, repository: str) -> None:
        """Read a tag a few times in a row: each replica is asked."""
        tag = self._tag(repository)
        if not self.history.steps[tag]:
            return  # its history should not begin with many ways to say that there is nothing
        for _ in range(self._random.randint(1, READS)):
            await self._read(tag)

    async def _read(self, tag: Tag) -> str | None:
        """Read a tag by HEAD or GET; where it is."""
        method = self._random.choice(("GET", "HEAD"))
        invoked = time.monotonic()
        answer = await self._asker.ask(method, manifest_path(*tag), ACCEPT, expected={200, 404})
        returned = time.monotonic()
        value = None
        if answer.status == 200:
            value = answer.headers["Docker-Content-Digest"]
            self._seen[tag] = value
            if method == "GET":
                self._compare(tag.repository, value, answer)
        self.history.record(tag, read(value, self._name, invoked=invoked, returned=returned))
        return value

    async def _list_tags(self, repository: str) -> None:
        in_use = self.history.tags_in_use(repository)
        invoked = time.monotonic()
        answer = await self._asker.ask("GET", f"/v2/{repository}/tags/list", expected={200, 404})
        times: Times = {"invoked": invoked, "returned": time.monotonic()}
        listed = set(json.loads(answer.body)["tags"]) if answer.status == 200 else set()
        for tag in in_use:
            self.history.record(tag, seen(self._name, present=tag.name in listed, **times))

    async def _pull(self, repository: str) -> None:
        """A manifest that is readable has all its blobs, whoever pushed them."""
        value = await self._read(self._tag(repository))
        if value is not None:
            for blob in self.history.attempted[value].blobs:
                answer = await self._asker.ask(
                    "GET", blob_path(repository, blob.digest), expected={200}
                )
                if answer.body != blob.payload:
                    self.history.wrong(f"{blob.digest} has other bytes, {len(answer.body)} of them")

    async def _read_acknowledged(self, repository: str) -> None:
        """What was acknowledged to anybody is there for everybody."""
        method = self._random.choice(("GET", "HEAD"))
        kind = self._random.choice(("blobs", "manifests"))
        there = self.history.blobs if kind == "blobs" else self.history.manifests
        digests = [digest for name, digest in there if name == repository]
        if digests:
            digest = self._random.choice(digests)
            path = f"/v2/{repository}/{kind}/{digest}"
            answer = await self._asker.ask(method, path, ACCEPT, expected={200})
            actual = digest_of(answer.body, digest.partition(":")[0])
            if method == "GET" and actual != digest:
                self.history.wrong(f"{path} was answered with {len(answer.body)} bytes of {actual}")

    # -- what several need ---------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return f"client {self.number}"

    def _tag(self, repository: str) -> Tag:
        return self.history.tag(repository, self._random)

    async def _image(self, repository: str) -> Pushed:
        """A manifest that nobody has seen, over blobs that are there."""
        config = await self._new_blob(repository, OCI_CONFIG)
        mine = self._blobs[repository]
        layers = self._random.sample(mine, min(len(mine), self._random.randint(0, 2)))
        if not layers and self._random.random() < 0.5:
            layers = [await self._new_blob(repository, OCI_LAYER)]
        pushed = Pushed(image_manifest(config, layers), (config, *layers))
        self.history.attempted[pushed.content.digest] = pushed
        return pushed

    async def _put(
        self,
        tag: Tag,
        pushed: Pushed,
        told: Told,
        *headers: Header,
        refusal: AbstractSet[int] = frozenset(),
    ) -> None:
        kind = ("Content-Type", pushed.content.media_type)
        body = pushed.content.payload
        ask = self._asker.ask(
            "PUT", manifest_path(*tag), kind, *headers, body=body, expected={201, *refusal}
        )
        answer = await self._change(tag, told, ask)
        if answer.status == 201:
            self._seen[tag] = pushed.content.digest
            self.history.manifests[tag.repository, pushed.content.digest] = pushed
            # Who is asked next has not seen the write.
            await self._read(tag)

    async def _change(self, tag: Tag, told: Told, ask: Awaitable[Answer]) -> Answer:
        """Ask for a change and record it, also when nobody knows what became of it."""
        invoked = time.monotonic()
        try:
            answer = await ask
        except Unknown:
            self.history.record(tag, told(None, invoked=invoked, returned=inf))
            raise
        self.history.record(tag, told(answer, invoked=invoked, returned=time.monotonic()))
        return answer

    def _compare(self, repository: str, digest: str, answer: Answer) -> None:
        pushed = self.history.attempted.get(digest)
        if pushed is None or answer.body != pushed.content.payload:
            self.history.wrong(f"{repository}: {digest} has bytes that nobody pushed: {answer}")
