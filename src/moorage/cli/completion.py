# SPDX-License-Identifier: Apache-2.0
"""`moorage completion`: the script that teaches a shell to complete our commands and options.

cyclopts writes the script from the same declarations that parse the command line; it goes to
standard output and nothing is installed.
"""

from __future__ import annotations

import sys
from typing import Literal


def command(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion script of a shell.

    For bash: `moorage completion bash > ~/.local/share/bash-completion/completions/moorage`.

    Parameters
    ----------
    shell
        The shell that will read the script.
    """
    from moorage.cli.main import PROGRAM, create_app

    sys.stdout.write(create_app().generate_completion(prog_name=PROGRAM, shell=shell))
    return 0
