# SPDX-License-Identifier: Apache-2.0
"""From the measured scale to `docs/scaling.md`: what one client waits, and how it was found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.report import between

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PAGE, DATA = "scaling.md", "scaling.json"
FACTS = ("Measured", "Processor", "System", "Moorage", "Python", "PostgreSQL")


def write(docs: Path, report: Mapping[str, Any]) -> None:
    """Keep the results and write the page."""
    text = json.dumps(report, indent=1, sort_keys=True)
    (docs / DATA).write_text(text + "\n")
    render(docs)


def render(docs: Path) -> None:
    """Write the tables again from the results that were kept."""
    kept = docs / DATA
    if not kept.exists():
        return
    report = json.loads(kept.read_text())
    between(docs / PAGE, "scale", _facts(report) + _times(report["engines"]))
    between(docs / PAGE, "plans", _plans(report["engines"]))


def _facts(report: Mapping[str, Any]) -> str:
    facts = report["facts"]
    lines = [f"- {name}: {facts[name]}" for name in FACTS if name in facts]
    scale = report["scale"]
    lines.append(
        f"- Catalogue: {scale['repositories']:,} repositories, {scale['tags']:,} tags, "
        f"{scale['manifests']:,} manifests"
    )
    return "\n".join([*lines, f"- Repeat it with `{report['command']}`"]) + "\n\n"


def _times(engines: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(engines)
    head = "|  | " + " | ".join(f"{name} p50 | {name} p99" for name in names) + " |"
    lines = [head, "|:--|" + "--:|" * (2 * len(names))]
    for row in engines[names[0]]["rows"]:
        cells = [
            f"{engines[name]['rows'][row][quantile]:.2f} ms"
            for name in names
            for quantile in ("p50", "p99")
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines += ["", "|  | " + " | ".join(names) + " |", "|:--|" + "--:|" * len(names)]
    for title, key, form in (
        ("manifests by tag a second, 16 connections, one process", "rate", "{:,.0f}"),
        ("start of the registry, seconds", "start", "{:.2f}"),
        ("resident memory of the registry, MB", "resident", "{:.0f}"),
        ("size of the catalogue, GB", "bytes", "{:.1f}"),
    ):
        unit = {"resident": 1e6, "bytes": 1e9}.get(key, 1)
        cells = [form.format(engines[name][key] / unit) for name in names]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _plans(engines: Mapping[str, Mapping[str, Any]]) -> str:
    """For each request its statements, and how each engine runs them; a scan of a table is bold."""
    parts = []
    names = list(engines)
    for request, statements in engines[names[0]]["plans"].items():
        parts.append(f"**{request}**\n")
        for number, (sql, _) in enumerate(statements):
            parts.append(f"- `{_short(sql)}`")
            for name in names:
                plans = engines[name]["plans"][request]
                plan = plans[number][1] if number < len(plans) else ""
                if plan:
                    parts.append(f"    - {name}: {plan}")
        parts.append("")
    return "\n".join(parts)


def scans(engines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The plans that read a whole table."""
    found = []
    for name, result in engines.items():
        for request, statements in result["plans"].items():
            for sql, plan in statements:
                steps = [step for step in plan.split("; ") if _is_scan(step)]
                found += [f"{name}, {request}: {step}: {_short(sql)}" for step in steps]
    return found


def _is_scan(step: str) -> bool:
    # SQLite names the result of a subquery, which has a page of rows, by its alias.
    return step.startswith(("Seq Scan", "SCAN ")) and step != "SCAN page"


def _short(sql: str) -> str:
    return sql if len(sql) <= 160 else sql[:157] + "…"
