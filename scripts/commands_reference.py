# SPDX-License-Identifier: Apache-2.0
"""Writes docs/commands.md to standard output, from the declarations that parse the commands."""

from __future__ import annotations

import sys

from moorage.cli.main import create_app

NOTE = (
    "<!-- Written by the program: change the commands in src/moorage/cli, then run make docs. -->"
)


def main() -> int:
    """Print the reference."""
    text = create_app().generate_docs(output_format="markdown", heading_level=2)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    sys.stdout.write("\n".join(["# Commands", "", NOTE, "", *lines]) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
