# SPDX-License-Identifier: Apache-2.0
"""An object store that fails, is slow or is wrongly described: what it costs and what is said."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from moorage.spec.digests import Digest
from moorage.spec.errors import InsufficientStorage, Unavailable
from moorage.storage.protocol import StoredBlob
from tests.storage.contract import content
from tests.storage.extent_contract import PART, body_of, stream, unknown
from tests.support.object_proxy import ObjectProxy
from tests.support.object_requests import Meaning
from tests.support.object_servers import SECRET_KEY
from tests.support.object_stores import fetch, store_of, unfinished_parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from moorage.storage.objects import ObjectStore
    from tests.support.object_requests import StoreRequest
    from tests.support.object_servers import ObjectServer

    Run = Callable[[Callable[[ObjectStore], Awaitable[None]]], None]


@pytest.fixture
def proxy(s3_server: ObjectServer) -> Iterator[ObjectProxy]:
    """What stands between the store and its server."""
    with ObjectProxy(s3_server) as proxy:
        yield proxy


@pytest.fixture
def bucket(s3_server: ObjectServer) -> str:
    """A new bucket."""
    return s3_server.bucket()


@pytest.fixture
def run(proxy: ObjectProxy, s3_server: ObjectServer, bucket: str, tmp_path: Path) -> Run:
    """Run a scenario on a store behind the proxy; at its end nothing may be left."""

    def running(scenario: Callable[[ObjectStore], Awaitable[None]]) -> None:
        async def started() -> None:
            store = store_of(s3_server.settings(bucket, endpoint=proxy.endpoint), tmp_path)
            await store.start()
            proxy.reset()
            await scenario(store)
            await store.settled()
            proxy.heal()
            assert [item async for item in store.objects()] == []
            assert unfinished_parts(s3_server, bucket) == []

        asyncio.run(started())

    return running


def is_a(*meanings: Meaning) -> Callable[[StoreRequest], bool]:
    """Whether a request is one of these."""
    return lambda request: request.meaning in meanings


async def push(store: ObjectStore, body: bytes) -> StoredBlob:
    """A whole blob in one request."""
    digest = Digest.of(body)
    extent = await store.write_extent(stream(body), lambda: digest)
    assert extent is not None
    blob = StoredBlob(extent.key, digest, extent.size)
    await store.record(blob)
    return blob


def test_what_a_push_and_a_pull_cost(run: Run, proxy: ObjectProxy) -> None:
    """One request for a blob of one part, none for its record; one for a pull; never a copy."""

    async def scenario(store: ObjectStore) -> None:
        small = await push(store, body_of(PART))
        assert dict(proxy.counts) == {Meaning.PUT: 1}
        proxy.reset()

        large = await push(store, body_of(2 * PART + 1))
        assert dict(proxy.counts) == {
            Meaning.CREATE_MULTIPART: 1,
            Meaning.UPLOAD_PART: 3,
            Meaning.COMPLETE_MULTIPART: 1,
            Meaning.PUT: 1,
        }
        proxy.reset()

        assert len(await content(store, large.key)) == 2 * PART + 1
        assert len(await content(store, large.key, 5, PART + 9)) == PART + 4
        assert dict(proxy.counts) == {Meaning.GET: 2}
        for blob in (small, large):
            await store.delete(blob.key)

    run(scenario)


def test_a_moment_of_weakness_is_not_noticed(run: Run, proxy: ObjectProxy) -> None:
    """A few 503 and a broken connection at any step cost nobody anything."""
    proxy.refuse(times=2)
    proxy.refuse(times=2, when=is_a(Meaning.CREATE_MULTIPART, Meaning.COMPLETE_MULTIPART))
    proxy.cut_requests(1000, times=2, when=is_a(Meaning.UPLOAD_PART))

    async def scenario(store: ObjectStore) -> None:
        proxy.refuse(times=1, when=is_a(Meaning.UPLOAD_PART))
        body = body_of(2 * PART + 1)
        blob = await push(store, body)
        proxy.refuse(times=2, when=is_a(Meaning.GET))
        assert await content(store, blob.key) == body
        proxy.refuse(times=2, when=is_a(Meaning.DELETE))
        await store.delete(blob.key)

    run(scenario)


@pytest.mark.parametrize(
    ("size", "when"),
    [
        (100, Meaning.PUT),
        (3 * PART, Meaning.CREATE_MULTIPART),
        (3 * PART, Meaning.UPLOAD_PART),
        (3 * PART, Meaning.COMPLETE_MULTIPART),
    ],
)
def test_a_store_that_stays_down_is_reported(
    run: Run, proxy: ObjectProxy, size: int, when: Meaning
) -> None:
    """503 beyond the time for retries is a clear 503 of ours, and nothing half-written stays."""

    async def scenario(store: ObjectStore) -> None:
        fault = proxy.refuse(when=is_a(when))
        with pytest.raises(Unavailable, match="out of order at the moment") as caught:
            await store.write_extent(stream(body_of(size)), unknown)
        fault.lift()

        assert dict(caught.value.headers)["Retry-After"]
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert proxy.counts[when] > 1

    run(scenario)


def test_what_is_stored_too_late_is_removed(run: Run, proxy: ObjectProxy) -> None:
    """The object of a cancelled request goes, also when the store was still about to take it."""

    async def scenario(store: ObjectStore) -> None:
        proxy.slow(0.3, when=is_a(Meaning.PUT))
        pushing = asyncio.create_task(push(store, b"late"))
        await asyncio.sleep(0.1)
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
        await store.settled()

        assert proxy.statuses[200] == 1
        assert proxy.counts[Meaning.DELETE] == 1

    run(scenario)


def test_a_full_store_is_507(run: Run, proxy: ObjectProxy) -> None:
    """No room in the store is no room in the registry."""

    async def scenario(store: ObjectStore) -> None:
        with proxy.refuse(507, when=is_a(Meaning.PUT)), pytest.raises(InsufficientStorage):
            await push(store, b"no room")

    run(scenario)


def test_a_broken_download_goes_on_where_it_broke(run: Run, proxy: ObjectProxy) -> None:
    """Each new request asks only for what is missing, and progress renews the client's patience."""
    body = body_of(3 * PART)

    async def scenario(store: ObjectStore) -> None:
        blob = await push(store, body)
        proxy.reset()
        proxy.cut_responses(2_000_000, times=6, when=is_a(Meaning.GET))

        assert await content(store, blob.key, 7, len(body) - 7) == body[7:-7]
        assert proxy.counts[Meaning.GET] == 7
        assert proxy.body_bytes_down < len(body) + 7 * 2_000_000
        proxy.heal()
        await store.delete(blob.key)

    run(scenario)


def test_a_download_that_never_gets_on_ends(run: Run, proxy: ObjectProxy) -> None:
    """A stream that breaks again and again without a byte is given up with a clear error."""

    async def scenario(store: ObjectStore) -> None:
        blob = await push(store, body_of(1000))
        with proxy.cut_responses(0, when=is_a(Meaning.GET)), pytest.raises(Unavailable):
            await content(store, blob.key)
        await store.delete(blob.key)

    run(scenario)


def test_uploads_wait_for_memory_and_then_are_told(s3_server: ObjectServer, tmp_path: Path) -> None:
    """With memory for three parts, three uploads stand still and a fourth is refused in time."""
    store = store_of(s3_server.settings(), tmp_path, uploadmemory="16MiB")
    store._budget._wait_seconds = 0.2
    release = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(100_000)
        await release.wait()

    async def scenario() -> None:
        waiting = [asyncio.create_task(store.write_extent(slow(), unknown)) for _ in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable, match=r"limits\.uploadmemory"):
            await store.write_extent(stream(bytes(100_000)), unknown)
        small = await store.write_extent(stream(b"needs no part"), unknown)
        release.set()
        extents = [small, *await asyncio.gather(*waiting)]
        more = [store.write_extent(stream(body_of(3 * PART)), unknown) for _ in range(6)]
        store._budget._wait_seconds = 60
        for extent in [*extents, *await asyncio.gather(*more)]:
            assert extent is not None
            await store.delete(extent.key)
        assert store._budget._free == 3

    asyncio.run(scenario())


def test_an_object_ends_before_the_store_refuses_more_parts(
    s3_server: ObjectServer, tmp_path: Path
) -> None:
    """A stream with too many parts for one object becomes several extents of one blob."""
    body = body_of(4 * PART + 5)

    async def scenario() -> None:
        store = store_of(s3_server.settings(), tmp_path)
        store._max_parts = 2
        pieces = stream(body)
        extents = []
        while extent := await store.write_extent(pieces, lambda: Digest.of(body)):
            extents.append(extent)
        assert sum(extent.size for extent in extents) == len(body)
        assert len(extents) == 3
        read = b"".join([await content(store, extent.key) for extent in extents])
        assert read == body

        blob = await store.write(Digest.of(body), stream(body))
        assert len(blob.extents) == 3
        assert blob in [found async for found in store.stored()]

    asyncio.run(scenario())


def test_a_signed_url_serves_the_object_alone(s3_server: ObjectServer, tmp_path: Path) -> None:
    """Whoever has the URL gets the bytes and ranges of them, and nothing without the signature."""

    async def scenario() -> str:
        store = store_of(s3_server.settings(), tmp_path, settings={"rootdirectory": "a b/ü"})
        url = await store.signed_url((await push(store, b"0123456789")).key)
        assert url is not None
        return url

    url = asyncio.run(scenario())

    assert fetch(url) == (200, b"0123456789")
    assert fetch(url, {"Range": "bytes=2-4"}) == (206, b"234")
    assert fetch(url.partition("?")[0])[0] == 403
    assert "X-Amz-Expires=1200" in url


def test_azure_signs_too(azure_server: ObjectServer, tmp_path: Path) -> None:
    """A shared access signature serves one blob."""

    async def scenario() -> str:
        store = store_of(azure_server.settings(), tmp_path)
        url = await store.signed_url((await push(store, b"0123456789")).key)
        assert url is not None
        return url

    url = asyncio.run(scenario())

    assert fetch(url, {"Range": "bytes=2-4"}) == (206, b"234")
    assert fetch(url.partition("?")[0])[0] in {403, 404}


def test_a_cdn_gets_the_name_and_the_signature(s3_server: ObjectServer, tmp_path: Path) -> None:
    """With `redirect.baseurl` clients are sent there; a proxy that hands the URL on still works."""
    bucket = s3_server.bucket()
    redirect = {"baseurl": f"{s3_server.endpoint}/{bucket}/", "expiry": "5m"}

    async def scenario() -> str:
        store = store_of(s3_server.settings(bucket), tmp_path, redirect=redirect)
        url = await store.signed_url((await push(store, b"through a proxy")).key)
        assert url is not None
        return url

    url = asyncio.run(scenario())

    assert url.startswith(f"{s3_server.endpoint}/{bucket}/blobs/")
    assert "X-Amz-Expires=300" in url
    assert fetch(url) == (200, b"through a proxy")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"bucket": "there-is-no-such-bucket"}, "storage.s3.bucket"),
        ({"secretkey": "not-the-secret"}, "storage.s3.secretkey"),
        ({"accesskey": "not-the-key"}, "storage.s3.accesskey"),
        ({"region": "eu-nowhere-1"}, "storage.s3.region"),
        ({"regionendpoint": "http://127.0.0.1:1"}, "the connection is refused"),
        ({"regionendpoint": "http://nowhere.invalid"}, "its host name is not known"),
    ],
)
def test_a_wrong_setting_is_named(
    s3_server: ObjectServer, tmp_path: Path, wrong: dict[str, str], words: str
) -> None:
    """The start says which setting to look at, and repeats neither a key nor what was signed."""
    if s3_server.name.startswith("moto") and "bucket" not in wrong and "endpoint" not in words:
        pytest.skip("moto checks no credentials (install versitygw: scripts/install-servers)")
    store = store_of(s3_server.settings(), tmp_path, settings={"retrytimeout": "0s", **wrong})

    with pytest.raises(Unavailable) as caught:
        asyncio.run(store.start())

    assert words in str(caught.value)
    for secret in (SECRET_KEY, "not-the-secret", "not-the-key", "AWS4", "http://", "\n"):
        assert secret not in str(caught.value)


def test_a_wrong_container_or_key_is_named(azure_server: ObjectServer, tmp_path: Path) -> None:
    """The same for Azure."""
    section = azure_server.settings()
    for wrong, words in (
        ({"container": "not-there"}, "storage.azure.container"),
        ({"accountkey": "bm90IHRoZSBrZXk="}, "storage.azure.accountkey"),
    ):
        store = store_of(section, tmp_path, settings={"retrytimeout": "0s", **wrong})
        with pytest.raises(Unavailable) as caught:
            asyncio.run(store.start())
        assert words in str(caught.value)
    with pytest.raises(Unavailable, match=r"storage\.azure\.accountkey"):
        store_of(section, tmp_path, settings={"accountkey": "%%%"})


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """Without the library the settings are understood, and the start says what to install."""
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from moorage.ground import build_store\n"
        "from moorage.settings import load\n"
        "build_store(load(None, {'REGISTRY_STORAGE_S3_BUCKET': 'b'}).settings)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )

    assert "storage.s3 needs a package" in result.stderr
    assert "install moorage[objects]" in result.stderr


def test_many_objects_are_listed_page_by_page(run: Run, proxy: ObjectProxy) -> None:
    """More objects than fit one page are all found, sidecars beside their objects too."""

    async def scenario(store: ObjectStore) -> None:
        store._part_bytes = PART
        blobs = []
        for _ in range(11):
            blobs += await asyncio.gather(*(push(store, b"one of many") for _ in range(100)))
        moved = [StoredBlob(blob.key, Digest.of(b"other"), blob.size) for blob in blobs[:50]]
        for blob in moved:
            await store.record(blob)
        proxy.reset()

        found = [blob async for blob in store.stored()]
        assert sorted(found, key=str) == sorted([*moved, *blobs[50:]], key=str)
        assert proxy.counts[Meaning.LIST] == 2
        assert proxy.counts[Meaning.GET] == 50
        for start in range(0, len(blobs), 100):
            await asyncio.gather(*(store.delete(blob.key) for blob in blobs[start : start + 100]))

    run(scenario)
