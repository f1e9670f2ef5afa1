# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m bench [full | quick | growth | scale | render]`.

Chooses what to run and where it goes; measures nothing itself.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench import comparison, growth, report, scale_report
from bench.comparison import BIG_BLOB_BYTES, FULL, FULL_TLS, QUICK, Bench, say
from bench.content import Payload
from bench.contestants import Distribution, Moorage, Nginx, installed, make_certificate
from bench.machine import load_average, machine_facts
from bench.rows import DISTRIBUTION, MOORAGE, NGINX, WORKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = Path(__file__).resolve().parent.parent / "docs"
ROOM_BYTES = 8_000_000_000
# One busy neighbor is enough to halve what two cores can show.
QUIET_LOAD = 0.5
CONTESTANTS = {
    MOORAGE: Moorage,
    DISTRIBUTION: Distribution,
    WORKERS: Moorage,
    NGINX: Nginx,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit code says whether it could be measured."""
    options = _parser().parse_args(arguments)
    # Ended from outside, the run still stops the servers it started and removes their data.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if options.what == "render":
        report.render(options.docs)
        scale_report.render(options.docs)
        return 0
    if shutil.which("wrk") is None:
        print("wrk is missing: install the package wrk", file=sys.stderr)
        return 2
    if load_average() > QUIET_LOAD:
        say(f"the machine is busy (load {load_average():.1f}): expect noise")
    with tempfile.TemporaryDirectory(prefix="moorage-bench-", dir=options.folder) as made:
        folder = Path(made)
        if shutil.disk_usage(folder).free < ROOM_BYTES:
            print(f"{folder} needs {ROOM_BYTES / 1e9:.0f} GB of free disk", file=sys.stderr)
            return 2
        if options.what == "growth":
            return _growth(folder, options)
        if options.what == "scale":
            return _scale(folder, options)
        return _comparison(folder, options)


def _comparison(folder: Path, options: argparse.Namespace) -> int:
    chosen = options.only or list(CONTESTANTS)
    kinds = [kind for kind in chosen if installed(CONTESTANTS[kind])]
    for kind in set(chosen) - set(kinds):
        say(f"{kind} is not installed and left out")
    quick = options.what == "quick"
    payload = Payload(folder, BIG_BLOB_BYTES)
    rows = options.rows
    bench = Bench(folder, payload, lambda row: not rows or row in rows, make_certificate(folder))
    over_tls = None if options.plain or quick else FULL_TLS
    stages = comparison.compare(bench, kinds, QUICK if quick else FULL, over_tls)
    payload.close()
    say("measured; cleaning up")
    print(report.comparison_tables(stages))
    if not quick and not rows and not options.only:
        result = {
            "facts": machine_facts(folder),
            "command": "python -m bench",
            "stages": stages,
        }
        report.write_comparison(options.docs, result)
    return 0


def _growth(folder: Path, options: argparse.Namespace) -> int:
    effort = growth.QUICK_GROWTH if options.quick else growth.GrowthEffort()
    results = growth.grow(folder, effort)
    print(report.growth_tables(results))
    if not options.quick:
        result = {
            "facts": machine_facts(folder),
            "command": "python -m bench growth",
            "results": results,
        }
        report.write_growth(options.docs, result)
    return 0


def _scale(folder: Path, options: argparse.Namespace) -> int:
    from bench import catalogue, postgres, scale

    size = catalogue.Scale(repositories=1_000) if options.quick else catalogue.Scale()
    folder.chmod(0o755)  # the server of the database is another user
    engines = {"SQLite": scale.measure(scale.SQLiteEngine(folder), size, folder)}
    with postgres.PostgresServer(folder) as server:
        engine = postgres.PostgresEngine(server)
        engines[engine.name] = scale.measure(engine, size, folder)
    for scan in scale_report.scans(engines):
        say(f"reads a whole table: {scan}")
    result = {
        "facts": {**machine_facts(folder), "PostgreSQL": postgres.version()},
        "scale": {
            "repositories": size.repositories,
            "tags": size.tags,
            "manifests": size.manifests,
        },
        "command": "python -m bench scale",
        "engines": engines,
    }
    if options.quick:
        print(result)
    else:
        scale_report.write(options.docs, result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        default="full",
        choices=("full", "quick", "growth", "scale", "render"),
        help="full and growth write docs/performance.md, scale docs/scaling.md; quick only prints;"
        " render writes the pages again from the results that were kept",
    )
    parser.add_argument("--rows", type=_words, help="only these rows, by key; writes nothing")
    parser.add_argument("--only", type=_words, help="only these contestants; writes nothing")
    parser.add_argument("--plain", action="store_true", help="leave TLS out")
    parser.add_argument(
        "--quick", action="store_true", help="growth and scale with little content; writes nothing"
    )
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page is")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure on")
    return parser


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
