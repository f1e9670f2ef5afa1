# SPDX-License-Identifier: Apache-2.0
"""The documents as the tests read them: pages, their fenced blocks, and the code in their text.

Judging is the work of the tests. Invariant: every Markdown page for users is here, so that a new
one is tested without being named anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it stands, its language, and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> tuple[Path, ...]:
    """README, changelog, contributor's guide and everything in docs/."""
    return (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))


def blocks(*languages: str) -> tuple[Block, ...]:
    """All fenced blocks of these languages."""
    found = (block for page in pages() for block in _blocks(page))
    return tuple(block for block in found if block.language in languages)


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(str(page.relative_to(ROOT)), line, found[1], found[2])


def code(page: Path) -> tuple[str, ...]:
    """What stands between backticks in the page's text, outside of its blocks."""
    return tuple(INLINE.findall(FENCE.sub("", page.read_text())))
