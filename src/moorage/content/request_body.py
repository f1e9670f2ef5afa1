# SPDX-License-Identifier: Apache-2.0
"""A request's body on its way into an object store: hashed and counted as the store takes it.

A connection that breaks ends the body: what had arrived becomes an object, from which the client
goes on. A body that is longer than announced is an error to the store, so that nothing of it stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.content.uploads import LONGER, SHORTER
from moorage.spec.digests import Digest, digest_from
from moorage.spec.errors import SizeInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.spec.digests import Hasher


class RequestBody:
    """An iterator over the pieces, which knows what went through it."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        algorithm: str,
        hasher: Hasher,
        expected: int | None = None,
    ) -> None:
        """`hasher` has seen what came before; `expected` is how many bytes there must be."""
        self._pieces = pieces
        self._algorithm = algorithm
        self._expected = expected
        self._broken: Exception | None = None
        self.hasher = hasher
        self.received = 0
        self.ended = False

    @property
    def digest(self) -> Digest:
        """The digest of the upload, up to and including what has gone through."""
        return digest_from(self._algorithm, self.hasher)

    @property
    def incomplete(self) -> bool:
        """Whether the body ended before its end."""
        return self._broken is not None or self._short

    @property
    def _short(self) -> bool:
        return self._expected is not None and self.received < self._expected

    def check(self) -> None:
        """Raise whatever ended the body before its end.

        Raises:
            SizeInvalid: the client has sent less than it announced.
            Exception: what the connection's end was.
        """
        if self._broken is not None:
            raise self._broken
        if self._short:
            raise SizeInvalid(SHORTER)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.ended:
            raise StopAsyncIteration
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self.ended = True
            raise
        except Exception as error:  # noqa: BLE001 (`check` raises it, once what came is kept)
            self.ended = True
            self._broken = error
            raise StopAsyncIteration from None
        if self._expected is not None and self.received + len(piece) > self._expected:
            self.ended = True
            raise SizeInvalid(LONGER)
        self.received += len(piece)
        self.hasher.update(piece)
        return piece
