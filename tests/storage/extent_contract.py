# SPDX-License-Identifier: Apache-2.0
"""What a store must do that writes each request's bytes as one object, whatever their length."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from moorage.spec.digests import Digest
from moorage.storage.protocol import PIECE_BYTES, Extent, ExtentStore, StoredBlob
from tests.storage.contract import BlobStoreContract, content, pieces_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PART = 5 * 1024 * 1024
SIZES = [1, PIECE_BYTES, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7]


def body_of(size: int) -> bytes:
    """Bytes of which no two parts are alike."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


async def stream(body: bytes) -> AsyncIterator[bytes]:
    """The body as a socket might give it, empty pieces and all."""
    yield b""
    for position in range(0, len(body), PIECE_BYTES):
        yield body[position : position + PIECE_BYTES]


async def broken(body: bytes) -> AsyncIterator[bytes]:
    """A client that goes away."""
    async for piece in stream(body):
        yield piece
    raise ConnectionResetError


async def stalled(body: bytes, begun: asyncio.Event) -> AsyncIterator[bytes]:
    """A client that stops sending, but stays."""
    async for piece in stream(body):
        yield piece
    begun.set()
    await asyncio.Event().wait()


def unknown() -> Digest | None:
    """The digest of a body that continues another."""
    return None


class ExtentStoreContract(BlobStoreContract[ExtentStore]):
    """The suite. `make` is what a subclass must give."""

    async def push(self, store: ExtentStore, body: bytes, algorithm: str = "sha256") -> StoredBlob:
        """Push a body as a whole blob."""
        digest = Digest.of(body, algorithm)
        extent = await store.write_extent(stream(body), lambda: digest)
        assert extent is not None
        blob = StoredBlob(extent.key, digest, extent.size)
        await store.record(blob)
        return blob

    @pytest.mark.parametrize("size", SIZES)
    def test_an_extent_of_any_length_becomes_a_blob(self, size: int) -> None:
        """One part, several, and exactly as many: it is read back, and listed with its digest."""
        body = body_of(size)

        async def scenario(store: ExtentStore) -> None:
            blob = await self.push(store, body)

            assert blob.size == size
            assert await content(store, blob.key) == body
            assert await content(store, blob.key, size // 2, size + 9) == body[size // 2 :]
            assert [found async for found in store.stored()] == [blob]
            await store.delete(blob.key)
            with pytest.raises(KeyError):
                await content(store, blob.key)
            await store.delete(blob.key)

        self.run(scenario)

    def test_nothing_is_stored_of_an_empty_stream(self) -> None:
        """A body without a byte is no extent."""

        async def scenario(store: ExtentStore) -> None:
            assert await store.write_extent(stream(b""), unknown) is None

        self.run(scenario)

    def test_other_algorithms_are_told_too(self) -> None:
        """A blob's digest may be of any supported algorithm."""

        async def scenario(store: ExtentStore) -> None:
            blobs = [await self.push(store, b"x" * size, "sha512") for size in (3, PART + 3)]

            found = [blob async for blob in store.stored()]
            assert sorted(found, key=str) == sorted(blobs, key=str)
            for blob in blobs:
                await store.delete(blob.key)

        self.run(scenario)

    @pytest.mark.parametrize("size", [0, 100, PIECE_BYTES, PART, PART + 1, 2 * PART + 7])
    def test_a_client_that_goes_away_leaves_nothing(self, size: int) -> None:
        """An exception out of the stream comes through, and no byte stays behind."""
        body = body_of(size)

        async def scenario(store: ExtentStore) -> None:
            with pytest.raises(ConnectionResetError):
                await store.write_extent(broken(body), unknown)

        self.run(scenario)

    @pytest.mark.parametrize("size", [100, PIECE_BYTES, PART + 1, 2 * PART + 7])
    def test_a_cancelled_request_leaves_nothing(self, size: int) -> None:
        """A request that is cancelled between two pieces ends, and no byte stays behind."""
        body = body_of(size)

        async def scenario(store: ExtentStore) -> None:
            begun = asyncio.Event()
            writing = asyncio.create_task(store.write_extent(stalled(body, begun), unknown))
            await begun.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing

        self.run(scenario)

    def test_a_blob_may_lie_in_several_objects(self) -> None:
        """Extents recorded together are one blob, also when the first could have been one alone."""
        bodies = [b"first", body_of(PART + 1), b"last"]
        whole = b"".join(bodies)

        async def scenario(store: ExtentStore) -> None:
            first = await store.write_extent(stream(bodies[0]), lambda: Digest.of(bodies[0]))
            others = [await store.write_extent(stream(body), unknown) for body in bodies[1:]]
            extents = tuple(extent for extent in (first, *others) if extent is not None)
            blob = StoredBlob(extents[0].key, Digest.of(whole), len(whole), extents)
            await store.record(blob)

            assert [extent.size for extent in extents] == [len(body) for body in bodies]
            assert [found async for found in store.stored()] == [blob]
            for extent in extents:
                await store.delete(extent.key)

        self.run(scenario)

    def test_a_known_blob_is_written_in_parts_too(self) -> None:
        """`write` takes a stream of any length and needs no record."""
        body = body_of(2 * PART + 1)

        async def scenario(store: ExtentStore) -> None:
            blob = await store.write(Digest.of(body), stream(body))

            assert blob.extents == (Extent(blob.key, len(body)),)
            assert [found async for found in store.stored()] == [blob]
            await store.delete(blob.key)

        self.run(scenario)

    def test_many_at_once_do_not_mix(self) -> None:
        """Streams written at the same time are stored each by itself."""
        bodies = [bytes([number]) * (PART + number) for number in range(8)]

        async def scenario(store: ExtentStore) -> None:
            blobs = await asyncio.gather(*(self.push(store, body) for body in bodies))

            for blob, body in zip(blobs, bodies, strict=True):
                assert Digest.of(await content(store, blob.key)) == Digest.of(body)
                await store.delete(blob.key)

        self.run(scenario)

    def test_the_stream_may_come_in_any_pieces(self) -> None:
        """Pieces larger than a part and of one byte make the same object."""
        body = body_of(2 * PART + 5)

        async def scenario(store: ExtentStore) -> None:
            pieces = pieces_of(body[:1], body[1:2], body[2:])
            extent = await store.write_extent(pieces, unknown)

            assert extent is not None
            assert await content(store, extent.key) == body
            await store.delete(extent.key)

        self.run(scenario)
