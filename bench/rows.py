# SPDX-License-Identifier: Apache-2.0
"""What is compared and what was promised: the rows of the tables, with their targets.

Pure data and arithmetic. A target names the number it is judged against, so a table can say met or
missed from the raw results alone, long after the run.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# Written by name, because the sign is easily taken for the letter.
TIMES = "\N{MULTIPLICATION SIGN}"
NOTHING = "\N{EN DASH}"

Results = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]

MOORAGE, WORKERS, DISTRIBUTION, NGINX, DISK = (
    "moorage", "moorage-workers", "distribution", "nginx", "disk",
)  # fmt: skip
TITLES = {
    MOORAGE: "Moorage",
    WORKERS: "Moorage, 2 workers",
    DISTRIBUTION: "distribution",
    NGINX: "nginx",
    DISK: "disk alone",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a sample and how it is written."""

    metric: str
    unit: str
    scale: float = 1.0
    better: Literal["higher", "lower"] = "higher"

    def text(self, value: float) -> str:
        """The value for a table."""
        shown = value * self.scale
        digits = 0 if shown >= 100 else 1 if shown >= 10 else 2
        number = f"{shown:,.{digits}f}"
        return f"{number} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Target:
    """Moorage's median is to be at least or at most `factor` x another's, plus an allowance."""

    metric: str
    relation: Literal["at least", "at most"]
    factor: float
    against: str = DISTRIBUTION
    allowance: float = 0.0

    def met(self, ours: float, theirs: float) -> bool:
        """Whether these medians keep the promise."""
        bound = self.factor * theirs + self.allowance
        return ours >= bound if self.relation == "at least" else ours <= bound

    def text(self) -> str:
        """The promise in a few signs."""
        sign = "≥" if self.relation == "at least" else "≤"
        if self.allowance:
            return f"{sign} {TITLES[self.against]} + {self.allowance * 1000:.0f} ms"
        return f"{sign} {self.factor:g}{TIMES}"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work, its main number, what it costs, and what was promised."""

    key: str
    title: str
    quantity: Quantity
    cost: Quantity | None = None
    targets: tuple[Target, ...] = ()

    def target(self, metric: str) -> Target | None:
        """The promise about one number, where there is one."""
        return next((target for target in self.targets if target.metric == metric), None)


def median(samples: Sequence[Mapping[str, float]], metric: str) -> float | None:
    """The median of one number over all rounds; nothing where it was not measured."""
    values = [sample[metric] for sample in samples if metric in sample]
    return statistics.median(values) if values else None


def _requests(key: str, title: str, *targets: Target) -> Row:
    return Row(
        key,
        title,
        Quantity("rate", "/s"),
        Quantity("cpu", "ms", 1000, "lower"),
        targets,
    )


def _bytes(key: str, title: str, *targets: Target) -> Row:
    return Row(key, title, Quantity("rate", "MB/s"), Quantity("cpu", "s/GB", 1, "lower"), targets)


def _times(key: str, title: str, *targets: Target) -> Row:
    return Row(
        key,
        title,
        Quantity("seconds", "ms", 1000, "lower"),
        Quantity("cpu", "ms", 1000, "lower"),
        targets,
    )


_EIGHT = (Target("rate", "at least", 8), Target("cpu", "at most", 1 / 8))
_DOWN = (Target("rate", "at least", 1), Target("cpu", "at most", 0.8))
_UP = (Target("rate", "at least", 2), Target("cpu", "at most", 0.55))
_FIFTH = Target("seconds", "at most", 0.2)

ROWS: tuple[Row, ...] = (
    _requests("manifest-tag", "manifest GET by tag", *_EIGHT),
    _requests("manifest-digest", "manifest GET by digest", *_EIGHT),
    _requests("blob-head", "blob HEAD", *_EIGHT),
    _requests("blob-small", "blob GET, 10 KB", Target("rate", "at least", 12)),
    _bytes("blob-big-1", "blob GET, 256 MB, 1 connection", *_DOWN),
    _bytes("blob-big-4", "blob GET, 256 MB, 4 connections", *_DOWN),
    _bytes("push-streamed", "push 256 MB: POST, PATCH, PUT", *_UP),
    _bytes("push-monolithic", "push 256 MB: POST, PUT", *_UP),
    _requests("small-images", "small images, 8 clients", Target("rate", "at least", 5)),
    Row(
        "syncs",
        "sync calls for a small image",
        Quantity("syncs", "", 1, "lower"),
        None,
        (Target("syncs", "at most", 0.25),),
    ),
    _times("catalog", "catalogue: 1,000 of 5,000 repositories", _FIFTH),
    _times("tags", "list of 20,000 tags", _FIFTH),
    Row(
        "last-byte",
        "1 GB blob: last byte to 201",
        Quantity("seconds", "ms", 1000, "lower"),
        None,
        (Target("seconds", "at most", 1, DISK, 0.1),),
    ),
)
EXTRA_ROWS: tuple[Row, ...] = (
    _requests("manifest-log", "manifest GET by tag, logs as they come"),
    _requests("manifest-htpasswd", "manifest GET by tag, htpasswd"),
)
