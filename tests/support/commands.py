# SPDX-License-Identifier: Apache-2.0
"""Commands of `moorage` run on a registry's data, as a person would from a shell."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.registry import RunningRegistry

PROGRAM = (sys.executable, "-m", "moorage")
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.output.decode()

    def json(self) -> Any:
        """Standard output as JSON."""
        assert self.output, self.errors
        return json.loads(self.output)


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands for one registry, which need not be running."""

    config: Path

    @classmethod
    def of(cls, registry: RunningRegistry) -> Commands:
        """The commands that work on the data of this registry."""
        registry.folder.mkdir(parents=True, exist_ok=True)
        return cls(registry.write_config())

    def run(self, word: str, *arguments: object, stdin: bytes = b"") -> Outcome:
        """Run a command to its end, whatever that is."""
        command = [*PROGRAM, word, *map(str, arguments), "--config", str(self.config)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, timeout=SECONDS
        )
        outcome = Outcome(done.returncode, done.stdout, done.stderr.decode())
        assert "Traceback" not in outcome.errors, outcome.errors
        return outcome
