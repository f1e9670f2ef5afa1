# SPDX-License-Identifier: Apache-2.0
"""The program `moorage`: the table of commands, and what is common to all of them.

A command is one row of `COMMANDS` and a module `moorage.cli.NAME` with a function `command`. What a
command does is said there. The invariants: help costs the import of no command; a person sees a
sentence, never a traceback, for what a person can cause.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cyclopts import App

from moorage import __version__
from moorage.cli.help_text import FlowingHelp

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "moorage"
# What shells report of a program ended by SIGINT, and of one whose reader went away (SIGPIPE).
INTERRUPTED = 130
READER_GONE = 141


@dataclass(frozen=True, slots=True)
class Command:
    """One row: the word, the module behind it, and its line in the help."""

    word: str
    module: str
    summary: str


COMMANDS = (
    Command("serve", "serve", "Run the registry."),
    Command("config", "config", "Show the settings in effect and where each came from."),
    Command("check", "check", "Verify every blob and every manifest's references."),
    Command("backup", "backup", "Copy the registry into a folder while it serves."),
    Command("restore", "restore", "Fill an empty registry from a backup."),
    Command("rebuild", "rebuild", "Put a lost database together again from the store."),
    Command("migrate", "migrate", "Move the registry to another database or store."),
    Command("import", "import_", "Take over a distribution folder, an OCI layout or an archive."),
    Command("export", "export", "Write images as an OCI layout or archive."),
    Command("ls", "ls", "List repositories and tags."),
    Command("htpasswd", "htpasswd", "Add, change or remove a password in an htpasswd file."),
    Command("completion", "completion", "Print the completion script of a shell."),
)


def create_app() -> App:
    """The command line with every command whose module is installed."""
    app = App(
        name=PROGRAM,
        help="A container registry in one program.",
        version=f"{PROGRAM} {__version__}",
        # The default, Markdown, takes 50 ms to import and our texts do not use it.
        help_format="plaintext",
        version_format="plaintext",
        help_formatter=FlowingHelp(),
        # `main` turns what is raised into exit codes, so that tests and commands share one way.
        result_action="return_value",
    )
    for place, row in enumerate(COMMANDS):
        module = f"moorage.cli.{row.module}"
        if importlib.util.find_spec(module) is not None:
            app.command(f"{module}:command", name=row.word, help=row.summary, sort_key=place)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code of the process."""
    try:
        code = create_app()(arguments)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"{PROGRAM}: stopped; nothing is half done, and the command can be repeated\n"
        )
        return INTERRUPTED
    except BrokenPipeError:
        # `moorage ls | head`: nobody reads any more. Python would complain again while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return code if isinstance(code, int) else 0


def main() -> None:
    """The entry point of the installed program."""
    sys.exit(run())
