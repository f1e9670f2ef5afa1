# SPDX-License-Identifier: Apache-2.0
"""What every blob store must do. A store's own test module subclasses the suite and makes it.

`BlobStoreContract` is required of all, `AppendableStoreContract` of those that grow uploads; what
those must do that write each request as one object is in `extent_contract`. Each test ends with an
empty store, and the suite fails if anything was left behind in it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from moorage.spec.digests import Digest, new_hasher
from moorage.storage.protocol import PIECE_BYTES, AppendableStore, BlobStore, UploadBusy, UploadLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")
S = TypeVar("S", bound=BlobStore)

SESSION = "6f1f6a3e-7a9b-4c55-9a39-0d6c3a1c1f10"


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    """The pieces, as a request body would give them."""
    for piece in pieces:
        yield piece


async def content(store: BlobStore, key: str, start: int = 0, stop: int | None = None) -> bytes:
    """What the store reads back."""
    return b"".join([piece async for piece in store.read(key, start, stop)])


class BlobStoreContract(Generic[S]):
    """The suite. `make` is what a subclass must give."""

    def make(self) -> S:
        """A new, empty store."""
        raise NotImplementedError

    async def left(self, store: S) -> list[object]:
        """Everything that is in the store, whether it is a blob or not."""
        return [blob async for blob in store.stored()]

    def run(self, scenario: Callable[[S], Awaitable[T]]) -> T:
        """Run the scenario on a new store and insist that it cleans up."""

        async def started() -> T:
            store = self.make()
            await store.start()
            result = await scenario(store)
            assert await self.left(store) == []
            return result

        return asyncio.run(started())

    @pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7])
    def test_reads_back_what_was_written(self, size: int) -> None:
        """A stored stream is read back whole, whatever its length."""
        body = bytes(index % 251 for index in range(size))

        async def scenario(store: S) -> None:
            half = size // 2
            stored = await store.write(Digest.of(body), pieces_of(body[:half], body[half:]))

            assert stored.size == size
            assert await content(store, stored.key) == body
            await store.delete(stored.key)

        self.run(scenario)

    @pytest.mark.parametrize(
        ("start", "stop"), [(0, 1), (5, 5), (100, PIECE_BYTES + 100), (10, None), (0, 10**9)]
    )
    def test_reads_any_range(self, start: int, stop: int | None) -> None:
        """A range is what a slice of the bytes would be."""
        body = b"0123456789" * 60_000

        async def scenario(store: S) -> None:
            stored = await store.write(Digest.of(body), pieces_of(body))

            assert await content(store, stored.key, start, stop) == body[start:stop]
            await store.delete(stored.key)

        self.run(scenario)

    def test_an_unknown_key_is_a_key_error(self) -> None:
        """Reading what is not there says so; deleting it is no error."""

        async def scenario(store: S) -> None:
            missing = (await store.write(Digest.of(b"x"), pieces_of(b"x"))).key
            await store.delete(missing)

            with pytest.raises(KeyError):
                await content(store, missing)
            await store.delete(missing)

        self.run(scenario)

    def test_tells_what_is_stored_with_its_digest(self) -> None:
        """The store alone says which digests it holds: a lost catalogue can be rebuilt from it."""

        async def scenario(store: S) -> None:
            stored = [
                await store.write(Digest.of(body, algorithm), pieces_of(body))
                for body in (b"one", b"two")
                for algorithm in ("sha256", "sha512")
            ]

            listed = [blob async for blob in store.stored()]

            assert sorted(stored, key=str) == sorted(listed, key=str)
            for blob in stored:
                await store.delete(blob.key)

        self.run(scenario)

    def test_the_same_content_twice_has_two_lives(self) -> None:
        """Deleting one copy of some content leaves another copy readable."""

        async def scenario(store: S) -> None:
            first = await store.write(Digest.of(b"twin"), pieces_of(b"twin"))
            second = await store.write(Digest.of(b"twin"), pieces_of(b"twin"))
            await store.delete(first.key)

            assert await content(store, second.key) == b"twin"
            await store.delete(second.key)

        self.run(scenario)

    def test_a_stream_that_breaks_leaves_nothing(self) -> None:
        """When the source fails in the middle, no half of it stays behind."""

        async def broken() -> AsyncIterator[bytes]:
            yield b"half"
            raise ConnectionResetError

        async def scenario(store: S) -> None:
            with pytest.raises(ConnectionResetError):
                await store.write(Digest.of(b"whole"), broken())

        self.run(scenario)


class AppendableStoreContract(BlobStoreContract[AppendableStore]):
    """What a store must do besides that lets an upload grow over several requests."""

    async def left(self, store: AppendableStore) -> list[object]:
        """Unfinished uploads too."""
        return [*await super().left(store), *[upload async for upload in store.unfinished()]]

    def test_an_upload_grows_over_several_requests(self) -> None:
        """Pieces appended in several turns are published as one blob under the digest's key."""

        async def scenario(store: AppendableStore) -> None:
            with store.append(SESSION) as file:
                file.write(b"first ")
            with store.append(SESSION) as file:
                assert file.size == len(b"first ")
                file.rewind(len(b"first "))
                file.write(b"second")
            stored = await store.publish(SESSION, Digest.of(b"first second"), 12)

            assert await content(store, stored.key) == b"first second"
            assert stored.size == len(b"first second")
            await store.delete(stored.key)

        self.run(scenario)

    def test_rewinding_forgets_what_lies_behind(self) -> None:
        """After a rewind the bytes behind the offset are gone, also when fewer follow."""

        async def scenario(store: AppendableStore) -> None:
            with store.append(SESSION) as file:
                file.write(b"kept and lost")
                file.rewind(4)
                assert file.size == 4
                file.write(b"!")
            stored = await store.publish(SESSION, Digest.of(b"kept!"), 5)

            assert await content(store, stored.key) == b"kept!"
            await store.delete(stored.key)

        self.run(scenario)

    def test_one_writer_at_a_time(self) -> None:
        """While one request holds an upload, another is told that it is busy."""

        async def scenario(store: AppendableStore) -> None:
            with store.append(SESSION), pytest.raises(UploadBusy), store.append(SESSION):
                pass
            with store.append(SESSION) as file:
                file.write(b"free again")
            await store.discard(SESSION)

        self.run(scenario)

    def test_hashes_a_part_of_an_upload(self) -> None:
        """The bytes between two offsets are fed to the hasher, and no others."""

        async def scenario(store: AppendableStore) -> None:
            with store.append(SESSION) as file:
                file.write(b"0123456789")
            hasher = new_hasher("sha256")
            await store.hash_upload(SESSION, hasher, 2, 7)

            assert Digest.of(b"23456") == f"sha256:{hasher.hexdigest()}"
            await store.discard(SESSION)

        self.run(scenario)

    def test_an_empty_upload_becomes_an_empty_blob(self) -> None:
        """A session without a byte can be published: the empty blob is a blob."""

        async def scenario(store: AppendableStore) -> None:
            stored = await store.publish(SESSION, Digest.of(b""), 0)

            assert stored.size == 0
            assert await content(store, stored.key) == b""
            await store.delete(stored.key)

        self.run(scenario)

    def test_an_upload_of_another_size_is_not_published(self) -> None:
        """When bytes are missing, nothing is published and what is there stays an upload."""

        async def scenario(store: AppendableStore) -> None:
            with store.append(SESSION) as file:
                file.write(b"abc")
            with pytest.raises(UploadLost):
                await store.publish(SESSION, Digest.of(b"abcd"), 4)
            await store.discard(SESSION)

        self.run(scenario)

    def test_lists_and_discards_unfinished_uploads(self) -> None:
        """An upload under way is listed with its size until it is discarded, which may be twice."""

        async def scenario(store: AppendableStore) -> None:
            with store.append(SESSION) as file:
                file.write(b"abc")
            listed = [(upload.session, upload.size) async for upload in store.unfinished()]
            await store.discard(SESSION)
            await store.discard(SESSION)

            assert listed == [(SESSION, 3)]

        self.run(scenario)
