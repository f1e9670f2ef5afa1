# SPDX-License-Identifier: Apache-2.0
"""What an import has done, what was there already, and what was left behind and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class CannotTransfer(Exception):
    """The source or destination cannot be used at all; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was left behind."""

    repository: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """An image that an import was asked for and that is now in the registry."""

    repository: str
    tags: tuple[str, ...]
    digest: str


@dataclass(slots=True)
class ImportReport:
    """The sum of an import; `present` counts what the registry had before."""

    told: Callable[[Skipped], None]
    repositories: int = 0
    blobs: int = 0
    blobs_present: int = 0
    linked: int = 0
    bytes: int = 0
    manifests: int = 0
    manifests_present: int = 0
    tags: int = 0
    tags_present: int = 0
    arrived: list[Arrived] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, repository: str, what: str, reason: str) -> None:
        """Something stays behind."""
        skipped = Skipped(repository, what, reason)
        self.skipped.append(skipped)
        self.told(skipped)
