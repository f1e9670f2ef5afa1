# SPDX-License-Identifier: Apache-2.0
"""distribution's data in an object store, found with one listing and read object by object.

The names of the objects are the paths of `distribution_tree`. They are listed in order, so what
belongs to a repository comes together and only one repository is in memory. The name of a link says
which digest it holds; only those of tags have to be read.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid, NameInvalid, TagInvalid, quoted
from moorage.spec.names import parse_repository, parse_tag
from moorage.transfer.distribution_source import MAX_LINK_BYTES, MAX_MANIFEST_BYTES, Revision
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from moorage.spec.names import RepositoryName, TagName
    from moorage.storage.object_bucket import Bucket
    from moorage.storage.objects import ObjectStore

ROOT = "docker/registry/v2"
REPOSITORIES = f"{ROOT}/repositories"
# No part of a repository's name begins with an underscore.
_ENTRY = re.compile(
    rf"{REPOSITORIES}/(?P<name>[^_].*?)/_(?:"
    r"(?P<kind>layers|manifests/revisions)/(?P<algorithm>[^/]+)/(?P<hex>[^/]+)/link"
    r"|manifests/tags/(?P<tag>[^/]+)/current/link)"
)
# Small objects at a time; each waits for the store some tens of milliseconds.
READS_AT_ONCE = 16
# A manifest is looked at, pushed and tagged; it is fetched once if that happens soon.
REMEMBERED_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class _Found:
    """What was listed of one repository, by the name that it has in the store."""

    name: str
    layers: list[str] = field(default_factory=list)
    revisions: list[tuple[str, int]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


class DistributionObjects:
    """The data below the root directory of a bucket; `complain` hears of what cannot be used."""

    def __init__(
        self, bucket: Bucket, store: ObjectStore, complain: Callable[[str, str, str], None]
    ) -> None:
        """`store` reads the objects of `bucket`."""
        self._bucket = bucket
        self._store = store
        self._complain = complain
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._remembered: OrderedDict[Digest, bytes] = OrderedDict()
        self._remembered_bytes = 0

    async def check(self) -> None:
        """See whether there is anything.

        Raises:
            CannotTransfer: there are no data of distribution here.
            Unavailable: the store refused.
        """
        async with aclosing(self._bucket.list(REPOSITORIES)) as listing:
            async for _ in listing:
                return
        raise CannotTransfer(
            f"there are no objects below {self._bucket.path(REPOSITORIES)}: look at bucket and "
            "rootdirectory"
        )

    async def count(self) -> int:
        return 0

    async def repositories(self) -> AsyncIterator[ObjectRepository]:
        found: _Found | None = None
        async for item in self._bucket.list(REPOSITORIES):
            match = _ENTRY.fullmatch(item.key)
            if match is None:
                continue
            if found is None or match["name"] != found.name:
                if found is not None and (done := self._named(found)):
                    yield done
                found = _Found(match["name"])
            if match["tag"] is not None:
                found.tags.append(match["tag"])
            elif match["kind"] == "layers":
                found.layers.append(f"{match['algorithm']}:{match['hex']}")
            else:
                named = f"{match['algorithm']}:{match['hex']}"
                found.revisions.append((named, item.modified_at))
        if found is not None and (done := self._named(found)):
            yield done

    def _named(self, found: _Found) -> ObjectRepository | None:
        try:
            name = parse_repository(found.name)
        except NameInvalid as error:
            self._complain(found.name, "repository", error.message)
            return None
        return ObjectRepository(self, name, found, self._complain)

    async def manifest(self, digest: Digest) -> bytes:
        if digest in self._remembered:
            self._remembered.move_to_end(digest)
            return self._remembered[digest]
        payload = await self._small(_blob(digest), MAX_MANIFEST_BYTES)
        if digest not in self._remembered:
            self._remembered[digest] = payload
            self._remembered_bytes += len(payload)
        while self._remembered_bytes > REMEMBERED_BYTES:
            self._remembered_bytes -= len(self._remembered.popitem(last=False)[1])
        return payload

    async def pieces(self, digest: Digest) -> AsyncIterator[bytes]:
        key = _blob(digest)
        try:
            async for piece in self._store.read(key):
                yield piece
        except KeyError:
            raise FileNotFoundError(key) from None

    async def size(self, digest: Digest) -> int:
        key = _blob(digest)
        async with aclosing(self._bucket.list(key.removesuffix("/data"))) as listing:
            async for item in listing:
                if item.key == key:
                    return item.size
        raise FileNotFoundError(key)

    async def tag(self, repository: RepositoryName, name: str) -> str:
        """What the link of a tag holds.

        Raises:
            FileNotFoundError: it was deleted meanwhile.
            OSError: it is too long for a link.
        """
        key = f"{REPOSITORIES}/{repository}/_manifests/tags/{name}/current/link"
        return (await self._small(key, MAX_LINK_BYTES)).decode("ascii", "replace").strip()

    async def _small(self, key: str, limit: int) -> bytes:
        async with self._reads:
            try:
                pieces = [piece async for piece in self._store.read(key, 0, limit + 1)]
            except KeyError:
                raise FileNotFoundError(key) from None
        content = b"".join(pieces)
        if len(content) > limit:
            raise OSError(f"it has more than {limit} bytes")
        return content


class ObjectRepository:
    """One repository, as it was listed."""

    def __init__(
        self,
        source: DistributionObjects,
        name: RepositoryName,
        found: _Found,
        complain: Callable[[str, str, str], None],
    ) -> None:
        self.name = name
        self._source = source
        self._found = found
        self._complain = complain

    def revisions(self) -> list[Revision]:
        return [
            Revision(digest, pushed_at)
            for text, pushed_at in self._found.revisions
            if (digest := self._digest(text, "manifest"))
        ]

    def layers(self) -> list[Digest]:
        return [digest for text in self._found.layers if (digest := self._digest(text, "blob"))]

    def _digest(self, text: str, what: str) -> Digest | None:
        try:
            return Digest.parse(text)
        except DigestInvalid as error:
            self._complain(self.name, what, error.message)
            return None

    async def tags(self) -> Sequence[tuple[TagName, Digest]]:
        tags = await asyncio.gather(*[self._tag(name) for name in self._found.tags])
        return [tag for tag in tags if tag is not None]

    async def _tag(self, name: str) -> tuple[TagName, Digest] | None:
        text = ""
        try:
            text = await self._source.tag(self.name, name)
            return parse_tag(name), Digest.parse(text)
        except FileNotFoundError:
            return None
        except TagInvalid as error:
            self._complain(self.name, f"tag {quoted(name)}", error.message)
        except DigestInvalid:
            held = quoted(text) if text else "nothing"
            self._complain(self.name, f"tag {name}", f"its link holds {held}, not a digest")
        except OSError as error:
            self._complain(self.name, f"tag {name}", f"its link cannot be used: {error}")
        return None


def _blob(digest: Digest) -> str:
    encoded = digest.encoded
    return f"{ROOT}/blobs/{digest.algorithm}/{encoded[:2]}/{encoded}/data"
