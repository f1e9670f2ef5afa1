# SPDX-License-Identifier: Apache-2.0
"""How help is shown: the lines of a docstring as one text, broken where the terminal ends.

cyclopts keeps the line breaks of our source in plain text. Everything else is its own drawing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions, RenderableType


class FlowingHelp:
    """A cyclopts help formatter; imports what it needs only when help is asked for."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Draw one panel."""
        from cyclopts.help import DefaultFormatter, InlineText
        from rich.text import Text

        for entry in panel.entries:
            text = entry.description
            if isinstance(text, InlineText) and isinstance(text.primary_renderable, Text):
                joined = " ".join(text.primary_renderable.plain.split())
                text.primary_renderable = Text(joined)
        DefaultFormatter()(console, options, panel)

    def render_usage(
        self, console: Console, options: ConsoleOptions, usage: RenderableType
    ) -> None:
        """Draw the line with the command's name."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)
