# SPDX-License-Identifier: Apache-2.0
"""The grounds that replicas can stand on, by name, each made empty for whoever asks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.cluster import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cluster import Ground

GROUNDS = ("sqlite+filesystem",)


@contextmanager
def ground(name: str, folder: Path) -> Iterator[Ground]:
    """An empty ground with everything it needs running."""
    assert name in GROUNDS
    yield files(folder / "data")
