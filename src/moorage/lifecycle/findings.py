# SPDX-License-Identifier: Apache-2.0
"""What a check may find, and the report of all of it.

Invariant: a finding counts as a problem until it is repaired; a note never does, because nobody's
content is in danger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "blob-damaged",
    "blob-lost",
    "blob-orphan",
    "blob-size",
    "link-broken",
    "manifest-damaged",
    "reference-missing",
    "tag-dangling",
]

NOTES: frozenset[Kind] = frozenset({"blob-orphan"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, and what was done about it."""

    kind: Kind
    message: str
    digest: str = ""
    repository: str = ""
    tag: str = ""
    file: str = ""
    size: int = 0
    repair: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether somebody must still do something."""
        return self.kind not in NOTES and not self.repair


@dataclass(slots=True)
class CheckReport:
    """What was looked at, and what was found."""

    blobs: int = 0
    bytes: int = 0
    manifests: int = 0
    tags: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def problems(self) -> int:
        """How many findings are left that somebody must do something about."""
        return sum(finding.is_problem for finding in self.findings)

    @property
    def repaired(self) -> int:
        """How many findings were repaired."""
        return sum(bool(finding.repair) for finding in self.findings)

    @property
    def notes(self) -> int:
        """How many findings are merely worth knowing."""
        return len(self.findings) - self.problems - self.repaired
