# SPDX-License-Identifier: Apache-2.0
"""Every way to push a blob through replicas that come and go.

Returning means that the blob is acknowledged. Only an upload that was cut on purpose is taken up
again; whatever else gets no answer is given up, and nobody knows what became of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.cluster.asking import Unknown
from tests.cluster.caller import Unheard
from tests.durability.pushing import offset_of
from tests.support.images import OCTET_STREAM, blob_path, with_digest

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from random import Random

    from tests.cluster.asking import Asker
    from tests.support.images import Content
    from tests.support.wire import Header

OCTETS: Header = ("Content-Type", OCTET_STREAM)
TRIES = 12


class Uploads:
    """One client's ways to push."""

    def __init__(self, asker: Asker, random: Random) -> None:
        self._asker = asker
        self._random = random
        self._setbacks = asker.history.setbacks

    async def push(self, repository: str, blob: Content) -> None:
        """Push the blob in some way."""
        ways = (self._at_once, self._posted, self._streamed, self._chunked, self._resumed)
        await self._random.choice(ways)(repository, blob)

    async def _at_once(self, repository: str, blob: Content) -> None:
        location = await self._open(repository)
        await self._close(location, blob, blob.payload)

    async def _posted(self, repository: str, blob: Content) -> None:
        target = with_digest(f"/v2/{repository}/blobs/uploads/", blob.digest)
        await self._asker.ask("POST", target, OCTETS, body=blob.payload, expected={201})

    async def _streamed(self, repository: str, blob: Content) -> None:
        location = await self._open(repository)
        await self._patch(location, OCTETS, body=blob.payload, chunked=True)
        await self._close(location, blob)

    async def _chunked(self, repository: str, blob: Content) -> None:
        location = await self._open(repository)
        size = max(blob.size // self._random.randint(2, 4), 2)
        for start in range(0, blob.size, size):
            chunk = blob.payload[start : start + size]
            place = ("Content-Range", f"{start}-{start + len(chunk) - 1}")
            await self._patch(location, place, OCTETS, body=chunk)
        await self._close(location, blob)

    async def _resumed(self, repository: str, blob: Content) -> None:
        """Cut a stream off in the middle, and go on until everything is there."""
        location = await self._open(repository)
        # With its place: without one, a cut request that is heard late would be put at the end.
        place = ("Content-Range", f"0-{blob.size - 1}")
        at = self._random.randrange(blob.size)
        await self._asker.cut("PATCH", location, place, OCTETS, body=blob.payload, at=at)
        closing = False
        for _ in range(TRIES):
            try:
                if await self._continue(location, blob, closing=closing):
                    closing = True
                    # The cut request may be heard only now, and hold the upload for a moment.
                    await self._close(location, blob, refusals={416})
                    return
            except (Unknown, Unheard):
                await asyncio.sleep(0.1)
            if await self._is_there(repository, blob):
                return
        raise Unknown

    async def _continue(self, location: str, blob: Content, *, closing: bool) -> bool:
        """Send what the upload lacks; whether everything is there now."""
        # Ended by a close whose answer was lost, or begun in a moment that a crash took back.
        gone = {404} if closing else self._setbacks & {404}
        answer = await self._asker.ask("GET", location, expected={204, *gone})
        if answer.status == 404:
            raise Unknown
        offset = offset_of(answer)
        if offset == blob.size:
            return True
        place = ("Content-Range", f"{offset}-{blob.size - 1}")
        answer = await self._asker.ask(
            "PATCH", location, place, OCTETS, body=blob.payload[offset:], expected={202, 416, *gone}
        )
        return answer.status == 202

    async def _is_there(self, repository: str, blob: Content) -> bool:
        try:
            target = blob_path(repository, blob.digest)
            return (await self._asker.ask("HEAD", target, expected={200, 404})).status == 200
        except (Unknown, Unheard):
            return False

    async def _open(self, repository: str) -> str:
        answer = await self._asker.ask("POST", f"/v2/{repository}/blobs/uploads/", expected={202})
        return answer.location

    async def _close(
        self,
        location: str,
        blob: Content,
        body: bytes = b"",
        refusals: AbstractSet[int] = frozenset(),
    ) -> None:
        target = with_digest(location, blob.digest)
        answer = await self._asker.ask(
            "PUT", target, OCTETS, body=body, expected={201, *self._setbacks, *refusals}
        )
        if answer.status != 201:
            raise Unknown

    async def _patch(
        self, location: str, *headers: Header, body: bytes, chunked: bool = False
    ) -> None:
        expected = {202, *self._setbacks}
        answer = await self._asker.ask(
            "PATCH", location, *headers, body=body, chunked=chunked, expected=expected
        )
        if answer.status != 202:
            raise Unknown
