# SPDX-License-Identifier: Apache-2.0
"""How a client of the storm asks, and what it makes of each kind of answer.

A refusal that the protocol does not foresee is a violation; any 5xx, like no answer at all, means
that nobody knows whether it happened.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.caller import Caller, Lost

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from tests.cluster.history import History
    from tests.support.wire import Answer, Header


class Unknown(Exception):
    """Nobody knows whether it happened."""


@dataclass(eq=False)
class Asker:
    """One client's requests."""

    name: str
    port: int
    history: History

    def __post_init__(self) -> None:
        self._caller = Caller(self.port)

    async def ask(
        self,
        method: str,
        target: str,
        *headers: Header,
        expected: AbstractSet[int],
        body: bytes = b"",
        chunked: bool = False,
    ) -> Answer:
        """An answer that the protocol foresees here.

        Raises:
            Unheard: it has not happened.
            Unknown: nobody knows.
        """
        try:
            answer = await self._caller.ask(method, target, *headers, body=body, chunked=chunked)
        except Lost as lost:
            raise Unknown from lost
        if answer.status >= 500:
            self.history.outcomes["status", str(answer.status)] += 1
            raise Unknown
        if answer.status not in expected:
            self.history.wrong(f"{self.name}: {method} {target}: {answer}")
            raise Unknown
        return answer

    async def cut(self, method: str, target: str, *headers: Header, body: bytes, at: int) -> None:
        """Begin a request and hang up behind so many bytes of its body.

        Raises:
            Unheard: there was nobody.
        """
        with suppress(Lost):
            await self._caller.ask(method, target, *headers, body=body, stop_after=at)

    def close(self) -> None:
        """Hang up."""
        self._caller.close()
