# SPDX-License-Identifier: Apache-2.0
"""URLs by which clients fetch objects from the store itself, or from a CDN in front of it.

Whether a client is sent there at all is decided elsewhere. An URL is a secret for as long as it is
valid: it is given to the client that may read the blob, and never logged.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from moorage.spec.errors import OCIError

if TYPE_CHECKING:
    from moorage.storage.object_bucket import Bucket

# distribution's URLs are valid for as long; slow clients begin long before it is over.
EXPIRY_SECONDS = 20 * 60.0
# Asking again each time would cost every pull a request where credentials cannot sign.
UNSIGNABLE_SECONDS = 60.0


class SignedURLs:
    """Signs for one bucket."""

    def __init__(
        self, bucket: Bucket, *, expiry: float = EXPIRY_SECONDS, base_url: str | None = None
    ) -> None:
        """With a `base_url` the signature is appended to it and the object's name.

        What answers there hands the signature on to the store, or has access of its own.
        """
        self._bucket = bucket
        self._expiry = expiry
        self._base_url = base_url.rstrip("/") if base_url else None
        self._unsignable_until = 0.0

    async def url(self, key: str) -> str | None:
        """An URL for the object; None when with these credentials nothing can be signed."""
        if time.monotonic() < self._unsignable_until:
            return None
        try:
            signed = await self._bucket.sign(key, self._expiry)
        except OCIError:
            self._unsignable_until = time.monotonic() + UNSIGNABLE_SECONDS
            return None
        if self._base_url is None:
            return signed
        return f"{self._base_url}/{quote(self._bucket.path(key))}?{urlsplit(signed).query}"
