# SPDX-License-Identifier: Apache-2.0
"""Logs that are written into memory and read back."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from moorage.observe.logs import Logs, configure

if TYPE_CHECKING:
    from collections.abc import Iterator


class Output(io.BytesIO):
    """A stream in memory that may claim to be a terminal."""

    is_terminal = False

    def isatty(self) -> bool:
        """Whether people look at it."""
        return self.is_terminal

    @property
    def text(self) -> str:
        """Everything written so far."""
        return self.getvalue().decode()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Everything written so far, as JSON."""
        return [json.loads(line) for line in self.text.splitlines()]


class Recorder:
    """Configures the log as a test asks for, into an output."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.output = Output()
        self._stack = stack

    def configure(self, **options: Any) -> Logs:
        """Configure the log; it is closed at the end of the test."""
        logs = configure(stream=self.output, **options)
        self._stack.callback(logs.close)
        return logs


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Something that configures logs into memory."""
    with contextlib.ExitStack() as stack:
        yield Recorder(stack)
