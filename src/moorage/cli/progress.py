# SPDX-License-Identifier: Apache-2.0
"""How far long work is, on standard error: a bar on a terminal, a line for each part elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moorage.cli.wording import size_text
from moorage.observe.progress import SilentProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from moorage.observe.progress import Progress, Unit


@contextmanager
def shown_progress(*, silent: bool) -> Iterator[Progress]:
    """What fits where standard error goes; nothing when `silent`."""
    if silent:
        yield SilentProgress()
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield _BarProgress(bars)
    else:
        yield _LineProgress()


class _LineProgress:
    """One line when a part of the work begins."""

    def begin(self, work: str, total: int, unit: Unit) -> None:
        amount = ""
        if total:
            amount = f": {size_text(total) if unit == 'bytes' else total}"
        sys.stderr.write(f"{work}{amount}\n")
        sys.stderr.flush()

    def advance(self, amount: int) -> None:
        """A log wants no more lines."""


class _BarProgress:
    """One bar, which begins again with each part of the work."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, work: str, total: int, unit: Unit) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(work, total=total or None, is_bytes=unit == "bytes")

    def advance(self, amount: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, amount)


def _bars() -> Bars:
    # rich takes some 50 ms to import, so only those who see a bar pay for it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Amount(ProgressColumn):
        """So much of so much."""

        def render(self, task: Task) -> Text:
            def amount(value: float) -> str:
                return size_text(int(value)) if task.fields["is_bytes"] else f"{int(value)}"

            total = "" if task.total is None else f" of {amount(task.total)}"
            return Text(f"{amount(task.completed)}{total}")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        Amount(),
        console=Console(stderr=True),
        transient=True,
    )
