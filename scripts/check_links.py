# SPDX-License-Identifier: Apache-2.0
"""Checks that every link between the project's Markdown files leads somewhere.

Files and headings are checked; addresses of other hosts are not, so that the check works without a
network and never fails because of somebody else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINITION = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")


def documents() -> list[Path]:
    """The Markdown files of the project, without those of installed packages and data."""
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "requirements", "src", "tests", "bench"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def anchors(text: str) -> set[str]:
    """The names that a link may put after `#`: one for each heading, numbered when repeated."""
    names = set(ANCHOR.findall(text))
    seen: dict[str, int] = {}
    for heading in HEADING.findall(FENCE.sub("", text)):
        shown = LINK.sub(lambda match: match.group(0)[1:].split("]")[0], heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        names.add(f"{slug}-{count}" if count else slug)
    return names


def broken(document: Path) -> list[str]:
    """One sentence for each link of the document that leads nowhere."""
    text = CODE.sub("", FENCE.sub("", document.read_text()))
    complaints = []
    for target in LINK.findall(text) + DEFINITION.findall(text):
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        path = (document.parent / name).resolve() if name else document
        where = document.relative_to(ROOT)
        if not path.exists():
            complaints.append(f"{where}: {target}: there is no such file")
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text()):
            complaints.append(f"{where}: {target}: no heading of {name or where} is called that")
    return complaints


def main() -> int:
    """Print what is broken; 0 if nothing is."""
    complaints = [complaint for document in documents() for complaint in broken(document)]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
