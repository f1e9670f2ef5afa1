# SPDX-License-Identifier: Apache-2.0
"""How the settings say no: every problem found, each with its place, its key and what to do.

Nothing here reads or interprets anything. The invariant: a person sees all problems of a file at
once, one line each, and never a traceback.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# difflib's own default is 0.6; below it the proposals start to look like guesses.
CLOSE_ENOUGH = 0.6


class SettingsError(Exception):
    """The settings cannot be used; `problems` holds one line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most probably meant to be, if any is close."""
    matches = difflib.get_close_matches(word, sorted(known), n=1, cutoff=CLOSE_ENOUGH)
    return matches[0] if matches else None
