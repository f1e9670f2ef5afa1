# SPDX-License-Identifier: Apache-2.0
"""A bar chart as SVG: one bar a row on a logarithmic scale, with the target as a mark.

Written by hand because that is all it takes; reads on a light and on a dark page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from bench.rows import TIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH, LABEL_WIDTH, VALUE_WIDTH = 900, 330, 70
ROW_HEIGHT, BAR_HEIGHT, TOP, BOTTOM = 24, 14, 62, 34

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.quiet { fill: #59636e; font-size: 12px }
.grid { stroke: #d1d9e0 } .one { stroke: #59636e }
.bar { fill: #2f6feb } .short { fill: #d9822b }
.mark { stroke: #1f2328; stroke-width: 2 }
.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 }
  .grid { stroke: #30363d } .one { stroke: #9198a1 }
  .bar { fill: #4c8dff } .short { fill: #e3a15b } .mark { stroke: #e6edf3 }
  .page { fill: #0d1117 }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """How many times better one row is, and how many times it was to be."""

    label: str
    factor: float
    target: float | None
    met: bool


def bar_chart(title: str, subtitle: str, bars: Sequence[Bar]) -> str:
    """The chart as one SVG document."""
    values = [value for bar in bars for value in (bar.factor, bar.target) if value]
    low = min(-1, math.floor(math.log2(min(values, default=1))))
    high = max(1, math.ceil(math.log2(max(values, default=1))))
    span = WIDTH - LABEL_WIDTH - VALUE_WIDTH

    def across(factor: float) -> float:
        return LABEL_WIDTH + (math.log2(factor) - low) / (high - low) * span

    height = TOP + ROW_HEIGHT * len(bars) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        f'<text class="quiet" x="12" y="44">{escape(subtitle)}</text>',
    ]
    for power in range(low, high + 1):
        x, kind = across(2**power), "one" if power == 0 else "grid"
        bottom = height - BOTTOM
        parts.append(
            f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
        )
        name = (f"{2**power}" if power >= 0 else f"1/{2**-power}") + TIMES
        parts.append(
            f'<text class="quiet" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{name}</text>'
        )
    for ordinal, bar in enumerate(bars):
        parts += _bar(bar, TOP + ROW_HEIGHT * ordinal, across)
    return "\n".join([*parts, "</svg>", ""])


def _bar(bar: Bar, y: int, across: Callable[[float], float]) -> list[str]:
    start, end = sorted((across(1), across(bar.factor)))
    middle, top = y + ROW_HEIGHT / 2, y + (ROW_HEIGHT - BAR_HEIGHT) / 2
    after = max(end, across(bar.target) if bar.target else end) + 6
    label, kind = escape(bar.label), "bar" if bar.met else "short"
    size = f'width="{max(end - start, 1):.1f}" height="{BAR_HEIGHT}"'
    lines = [
        f'<text x="{LABEL_WIDTH - 10}" y="{middle + 4}" text-anchor="end">{label}</text>',
        f'<rect class="{kind}" x="{start:.1f}" y="{top}" {size}/>',
        f'<text x="{after:.1f}" y="{middle + 4}">{_times(bar.factor)}</text>',
    ]
    if bar.target:
        x = across(bar.target)
        lines.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}"'
            f' y2="{top + BAR_HEIGHT + 3}"/>'
        )
    return lines


def _times(factor: float) -> str:
    return (f"{factor:.0f}" if factor >= 10 else f"{factor:.2g}") + TIMES
