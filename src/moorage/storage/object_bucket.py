# SPDX-License-Identifier: Apache-2.0
"""A bucket or container below one prefix: single requests, with the library's failures translated.

What the objects mean is for `objects`. The library retries each request for a while by itself;
what comes out of here as `Unavailable` has been tried again already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore

from moorage.storage.object_errors import FAILURES, is_behind_end, is_missing, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from obstore import Attributes, GetOptions, GetResult
    from obstore.store import AzureStore, GCSStore, S3Store

    from moorage.storage.object_errors import SettingNames

    Client = S3Store | GCSStore | AzureStore

# What stores answer with at most; one page is in memory at a time.
PAGE_OBJECTS = 1000
# One part at a time is on its way while the next is gathered: memory stays two parts an upload.
PARTS_ON_THEIR_WAY = 1


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as the store lists it; `modified_at` is in microseconds, by the store's clock."""

    key: str
    size: int
    modified_at: int


class Bucket:
    """Objects by their keys, which are their names below `root`."""

    def __init__(
        self, client: Client, names: SettingNames, *, root: str = "", storage_class: str | None
    ) -> None:
        self._client = client
        self._root = "/".join(part for part in root.split("/") if part)
        self._attributes: Attributes = {"Storage-Class": storage_class} if storage_class else {}
        self.names = names

    async def put(self, key: str, content: bytes | memoryview) -> None:
        """Store an object with one request; it is durable and whole, or not there.

        Raises:
            InsufficientStorage, Unavailable: the store refused.
        """
        try:
            await obstore.put_async(
                self._client,
                self.path(key),
                content,
                attributes=self._attributes,
                use_multipart=False,
            )
        except FAILURES as error:
            raise refusal(error, self.names) from None

    async def put_parts(
        self, key: str, parts: AsyncIterator[memoryview | bytes], part_bytes: int
    ) -> None:
        """Store an object in parts of this size; an exception out of `parts` leaves nothing.

        Cancelling this would leave the parts behind: it must be let run to its end.
        """
        try:
            await obstore.put_async(
                self._client,
                self.path(key),
                parts,
                attributes=self._attributes,
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=PARTS_ON_THEIR_WAY,
            )
        except FAILURES as error:
            raise refusal(error, self.names) from None

    async def get(self, key: str, start: int = 0, stop: int | None = None) -> GetResult | None:
        """A reply that streams the bytes from `start` to before `stop`; None: there are none.

        Raises:
            KeyError: there is no such object.
            Unavailable: the store refused.
        """
        options: GetOptions = {}
        if stop is not None:
            options = {"range": (start, stop)}
        elif start:
            options = {"range": {"offset": start}}
        try:
            return await obstore.get_async(self._client, self.path(key), options=options)
        except FAILURES as error:
            if is_missing(error):
                raise KeyError(key) from None
            if is_behind_end(error):
                return None
            raise refusal(error, self.names) from None

    async def get_all(self, key: str) -> bytes:
        """A small object whole.

        Raises:
            KeyError, Unavailable: as for `get`.
        """
        found = await self.get(key)
        if found is None:
            return b""
        try:
            return bytes(await found.bytes_async())
        except FAILURES as error:
            raise refusal(error, self.names) from None

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error.

        Raises:
            Unavailable: the store refused.
        """
        try:
            await obstore.delete_async(self._client, self.path(key))
        except FAILURES as error:
            if not is_missing(error):
                raise refusal(error, self.names) from None

    async def list(self, folder: str) -> AsyncGenerator[ListedObject, None]:
        """Everything below a folder, page by page, in the order of the names.

        Raises:
            Unavailable: the store refused.
        """
        skipped = len(self._root) + 1 if self._root else 0
        pages = obstore.list(self._client, self.path(folder), chunk_size=PAGE_OBJECTS)
        try:
            async for page in pages:
                for item in page:
                    modified_at = int(item["last_modified"].timestamp() * 1_000_000)
                    yield ListedObject(item["path"][skipped:], item["size"], modified_at)
        except FAILURES as error:
            raise refusal(error, self.names) from None

    async def sign(self, key: str, seconds: float) -> str:
        """An URL that serves the object to whoever has it.

        Raises:
            Unavailable: with these credentials nothing can be signed.
        """
        try:
            return await obstore.sign_async(
                self._client, "GET", self.path(key), expires_in=timedelta(seconds=seconds)
            )
        except FAILURES as error:
            raise refusal(error, self.names) from None

    def path(self, key: str) -> str:
        """The name of the object in the bucket."""
        return f"{self._root}/{key}" if self._root else key
