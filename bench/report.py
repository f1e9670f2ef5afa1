# SPDX-License-Identifier: Apache-2.0
"""From raw results to `docs/performance.md`: tables between markers, the chart, the JSON beside it.

The prose around the markers belongs to people and is never touched. Everything shown is computed
from the JSON, so that the page can be written again without measuring.
"""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import TYPE_CHECKING, cast

from bench.chart import Bar, bar_chart
from bench.growth import BIG, BOUNDS, COST, GROWTH_ROWS, RATE, SMALL, worst
from bench.rows import (
    DISK,
    DISTRIBUTION,
    EXTRA_ROWS,
    MOORAGE,
    NGINX,
    NOTHING,
    ROWS,
    TIMES,
    WORKERS,
    Quantity,
    Results,
    Row,
    Target,
    median,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PAGE, DATA, CHART = "performance.md", "performance.json", "performance.svg"
PICTURE = f"![How many times better each row is than distribution]({CHART})\n\n"
# From this share of its core on, the client may have been what was measured.
BUSY_CLIENT = 0.9

STAGES = (
    ("plain", "Over plain HTTP", ROWS),
    ("tls", "Over TLS", ROWS),
    ("extra", "With logs, with passwords", EXTRA_ROWS),
)


def write_comparison(docs: Path, report: Mapping[str, object]) -> None:
    """Keep the results and write page and chart."""
    _keep(docs, "comparison", report)
    render(docs)


def write_growth(docs: Path, report: Mapping[str, object]) -> None:
    """Keep the results and write the page."""
    _keep(docs, "growth", report)
    render(docs)


def render(docs: Path) -> None:
    """Write the page and the chart from the results that were kept."""
    data = _kept(docs)
    page = docs / PAGE
    if comparison := data.get("comparison"):
        stages = cast("dict[str, Results]", comparison["stages"])
        between(page, "comparison", _facts(comparison) + PICTURE + comparison_tables(stages))
        (docs / CHART).write_text(chart(stages["plain"]))
    if growth := data.get("growth"):
        results = cast("Results", growth["results"])
        between(page, "growth", _facts(growth) + growth_tables(results))


def between(page: Path, name: str, text: str) -> None:
    """Replace what stands between a pair of markers; append them where they are missing."""
    begin, end = f"<!-- bench {name}: begin -->", f"<!-- bench {name}: end -->"
    old = page.read_text() if page.exists() else "# Performance\n"
    if begin not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = old.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has {begin!r} without {end!r}; put the end marker back")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")


def comparison_tables(stages: Mapping[str, Results]) -> str:
    """All stages as Markdown."""
    parts = []
    for stage, title, rows in STAGES:
        results = stages.get(stage, {})
        measured = [row for row in rows if row.key in results]
        if measured:
            parts.append(f"### {title}\n\n{_table(measured, results)}")
            parts += _notes(measured, results)
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], results: Results) -> str:
    others = [kind for kind in (WORKERS, NGINX) if any(kind in results[row.key] for row in rows)]
    names = {WORKERS: "Moorage, 2 workers", NGINX: "nginx"}
    head = ["", "Moorage", "distribution", "ratio", "CPU Moorage", "CPU distribution", "ratio"]
    lines = [_line([*head, *(names[kind] for kind in others)])]
    lines.append("|:--|" + "--:|" * (len(head) - 1 + len(others)))
    for row in rows:
        taken = results[row.key]
        cells = [row.title, *_comparison(row, row.quantity, taken)]
        cells += _comparison(row, row.cost, taken) if row.cost else [""] * 3
        lines.append(_line([*cells, *(_both(row, taken, kind) for kind in others)]))
    return "\n".join(lines)


def _comparison(
    row: Row, quantity: Quantity, taken: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[str]:
    """Ours, theirs, and the ratio with its verdict."""
    target = row.target(quantity.metric)
    ours = median(taken.get(MOORAGE, ()), quantity.metric)
    theirs = median(taken.get(DISTRIBUTION, ()), quantity.metric)
    shown = [NOTHING if value is None else quantity.text(value) for value in (ours, theirs)]
    against = theirs
    if target and target.against == DISK:
        against = median(taken.get(DISK, ()), quantity.metric)
        if against is not None:
            shown[1] += f" (disk alone {quantity.text(against)})"
    return [*shown, _verdict(target, ours, against)]


def _verdict(target: Target | None, ours: float | None, theirs: float | None) -> str:
    if ours is None or not theirs:
        return NOTHING
    ratio = f"{_ratio(ours / theirs)}{TIMES}"
    if target is None:
        return ratio
    verdict = "met" if target.met(ours, theirs) else "**missed**"
    return f"{ratio}, {target.text()} {verdict}"


def _ratio(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 3 else f"{value:.2f}"


def _both(row: Row, taken: Mapping[str, Sequence[Mapping[str, float]]], kind: str) -> str:
    """Speed and cost of one of the others in one cell."""
    shown = [
        quantity.text(value)
        for quantity in (row.quantity, row.cost)
        if quantity and (value := median(taken.get(kind, ()), quantity.metric)) is not None
    ]
    return ", ".join(shown)


def _notes(rows: Sequence[Row], results: Results) -> list[str]:
    """Where the client itself was busy: such a figure is a lower bound."""
    busy = [
        f"{row.title} ({kind})"
        for row in rows
        for kind, samples in results[row.key].items()
        if row.key != "small-images" and (median(samples, "client") or 0) > BUSY_CLIENT
    ]
    if not busy:
        return []
    return [f"The client's own core was busy, so the server could do more: {', '.join(busy)}."]


def growth_tables(results: Results) -> str:
    """Growth and bounds as Markdown."""
    head = ["", "small", "big", "ratio", "CPU small", "CPU big", "ratio"]
    lines = [_line(head), "|:--|" + "--:|" * (len(head) - 1)]
    for row in GROWTH_ROWS:
        if row.key not in results:
            continue
        cells = [row.title]
        for quantity, target in zip_longest((RATE, COST), row.targets):
            small = median(results[row.key][SMALL], quantity.metric)
            big = median(results[row.key][BIG], quantity.metric)
            assert small is not None
            assert big is not None
            ratio = f"{big / small:.2f}{TIMES}"
            if target is not None:
                verdict = "met" if target.met(big, small) else "**missed**"
                sign = "≥" if target.relation == "at least" else "≤"
                ratio += f", {sign} {target.factor:.2f}{TIMES} {verdict}"
            cells += [quantity.text(small), quantity.text(big), ratio]
        lines.append(_line(cells))
    lines += ["", _line(["", "measured", "limit", ""]), "|:--|--:|--:|:--|"]
    for bound in BOUNDS:
        if bound.key in results:
            value = worst(results[bound.key][BIG], bound.quantity.metric)
            verdict = "met" if value < bound.limit else "**missed**"
            shown = [bound.quantity.text(value), bound.quantity.text(bound.limit), verdict]
            lines.append(_line([bound.title, *shown]))
    return "\n".join(lines) + "\n"


def chart(results: Results) -> str:
    """How many times better each row is than distribution, in speed and in CPU."""
    bars = []
    for row in ROWS:
        taken = results.get(row.key, {})
        for quantity, word in ((row.quantity, ""), (row.cost, "CPU, ")):
            if quantity is None or row.key == "last-byte":
                continue
            ours = median(taken.get(MOORAGE, ()), quantity.metric)
            theirs = median(taken.get(DISTRIBUTION, ()), quantity.metric)
            if not ours or not theirs:
                continue
            target = row.target(quantity.metric)
            higher = quantity.better == "higher"
            wanted = None if target is None else target.factor if higher else 1 / target.factor
            bars.append(
                Bar(
                    label=word + row.title,
                    factor=ours / theirs if higher else theirs / ours,
                    target=wanted,
                    met=target is None or target.met(ours, theirs),
                )
            )
    return bar_chart(
        "How many times better than distribution",
        "Speed, and CPU for the same work; one process without TLS. The mark is the target.",
        bars,
    )


def _facts(report: Mapping[str, object]) -> str:
    facts = cast("dict[str, str]", report["facts"])
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    return "\n".join([*lines, f"- Command: `{report['command']}`"]) + "\n\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _keep(docs: Path, name: str, report: Mapping[str, object]) -> None:
    data = _kept(docs)
    data[name] = json.loads(json.dumps(report), parse_float=_rounded)
    (docs / DATA).write_text(_compact(data))


def _kept(docs: Path) -> dict[str, dict[str, object]]:
    path = docs / DATA
    return json.loads(path.read_text()) if path.exists() else {}


def _rounded(text: str) -> float:
    return float(f"{float(text):.5g}")


def _compact(value: object, depth: int = 0) -> str:
    """JSON with one sample a line: small, and a readable difference from run to run."""
    if (
        isinstance(value, dict)
        and depth < 6
        and any(isinstance(v, dict | list) for v in value.values())
    ):
        pad = "  " * (depth + 1)
        inner = ",\n".join(
            f"{pad}{json.dumps(key)}: {_compact(below, depth + 1)}" for key, below in value.items()
        )
        return f"{{\n{inner}\n{'  ' * depth}}}" + ("\n" if depth == 0 else "")
    return json.dumps(value)
