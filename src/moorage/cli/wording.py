# SPDX-License-Identifier: Apache-2.0
"""Numbers as commands write them for people."""

from __future__ import annotations


def size_text(size: int) -> str:
    """A number of bytes for people: 1.4 GiB."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 (what the units mean)
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def counted(number: int, word: str, several: str = "") -> str:
    """A number with its word: 1 tag, 2 tags."""
    return f"{number} {word if number == 1 else several or word + 's'}"
