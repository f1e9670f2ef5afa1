# SPDX-License-Identifier: Apache-2.0
"""How long work tells whoever waits for it how far it is.

How that is shown is the business of the command line. Invariant: methods may be called from any
thread and never fail the work.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

Unit: TypeAlias = Literal["bytes", "items"]


class Progress(Protocol):
    """Somebody who wants to know; one piece of work at a time."""

    def begin(self, work: str, total: int, unit: Unit) -> None:
        """New work begins, and the one before it is done; a total of 0 is an unknown one."""

    def advance(self, amount: int) -> None:
        """So much more of it is done."""


class SilentProgress:
    """Nobody wants to know."""

    def begin(self, work: str, total: int, unit: Unit) -> None:
        """Say nothing."""

    def advance(self, amount: int) -> None:
        """Say nothing."""
