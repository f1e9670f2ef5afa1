# SPDX-License-Identifier: Apache-2.0
"""`moorage migrate`: what the registry stands on is exchanged while it serves.

One row of `MOVES` for each thing that can be moved, and a module with a function `command` behind
it, which is imported when it is called.
"""

from __future__ import annotations

from cyclopts import App

from moorage.cli.help_text import FlowingHelp

# Word, module, and the line in the help.
MOVES = (
    ("database", "migrate_database", "Move the catalogue from SQLite to PostgreSQL."),
    ("storage", "migrate_storage", "Move all blobs from one store to another."),
)


def _group() -> App:
    app = App(
        name="migrate",
        help="Move the registry to another database or store while it serves.",
        help_format="plaintext",
        help_formatter=FlowingHelp(),
        result_action="return_value",
    )
    for place, (word, module, summary) in enumerate(MOVES):
        app.command(f"moorage.cli.{module}:command", name=word, help=summary, sort_key=place)
    return app


command = _group()
