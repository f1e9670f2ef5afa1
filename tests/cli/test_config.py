# SPDX-License-Identifier: Apache-2.0
"""The program's skeleton and `moorage config`, started as a user starts them."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from moorage import __version__
from moorage.cli.main import COMMANDS, Command
from moorage.settings.reference import markdown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def moorage(
    *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    return subprocess.run(
        [sys.executable, "-m", "moorage", *arguments],
        env={**clean, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_help_and_version_work() -> None:
    """Help lists the commands that are there; the version is the package's."""
    shown = moorage("--help")

    assert shown.returncode == 0
    assert "config" in shown.stdout
    assert "Show the settings in effect" in shown.stdout
    assert moorage("--version").stdout == f"moorage {__version__}\n"


@pytest.mark.parametrize("command", [row.word for row in COMMANDS])
def test_help_breaks_lines_where_the_terminal_ends(command: str) -> None:
    """No sentence of a help is broken where it was broken in our source."""
    shown = moorage(command, "--help", environ={"COLUMNS": "400"})
    texts = [line.strip("│ ") for line in shown.stdout.splitlines() if line.startswith("│")]

    assert shown.returncode == 0
    assert shown.stdout.startswith(f"Usage: moorage {command}")
    assert texts
    assert all(text.endswith((".", "]", ")")) for text in texts), texts


def test_help_imports_no_command() -> None:
    """Listing the commands costs the import of none of them, nor of the settings."""
    program = (
        "import sys\n"
        "from moorage.cli.main import run\n"
        "run(['--help'])\n"
        "sys.exit(' '.join(m for m in sys.modules if m.startswith('moorage.')"
        " and m not in ('moorage.cli', 'moorage.cli.main', 'moorage.cli.help_text')) or 0)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_a_wrong_command_line_is_refused_in_words() -> None:
    """An unknown command or option ends with a sentence and a code, never a traceback."""
    for arguments in (["conf"], ["config", "--jsn"], ["completion", "tcsh"]):
        result = moorage(*arguments)

        assert result.returncode != 0
        assert "Error" in result.stdout + result.stderr
        assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.word)
def test_each_row_has_a_command(row: Command) -> None:
    """No row names a module that is not there, or that has no command."""
    assert callable(importlib.import_module(f"moorage.cli.{row.module}").command)


def test_each_row_has_its_own_word_and_module() -> None:
    """No two commands share a word or a module."""
    assert len({row.word for row in COMMANDS}) == len(COMMANDS)
    assert len({row.module for row in COMMANDS}) == len(COMMANDS)


def test_config_prints_values_with_origins(tmp_path: Path) -> None:
    """The settings in effect go to standard output, warnings to standard error."""
    path = tmp_path / "config.yml"
    path.write_text("log:\n  level: warn\nredis: {addrs: [x]}\n")

    result = moorage("config", str(path), environ={"REGISTRY_HTTP_ADDR": ":5000"})

    assert result.returncode == 0
    assert f"  level: warn  # {path}:2\n" in result.stdout
    assert "  addr: :5000  # REGISTRY_HTTP_ADDR\n" in result.stdout
    assert "warning: " in result.stderr
    assert "redis has no effect" in result.stderr
    assert "UNSAFE: listening on :5000" in result.stderr


def test_config_json_is_for_programs(tmp_path: Path) -> None:
    """With --json everything is one object on standard output."""
    path = tmp_path / "config.yml"
    path.write_text("redis: {}\n")

    result = moorage("config", str(path), "--json", environ={"REGISTRY_HTTP_ADDR": ":5000"})

    answer = json.loads(result.stdout)
    assert answer["settings"]["http"]["addr"] == ":5000"
    assert answer["sources"]["http.addr"] == "REGISTRY_HTTP_ADDR"
    assert "redis" in answer["warnings"][0]
    assert answer["unsafe"].startswith("UNSAFE")
    assert result.stderr == ""


def test_config_without_file_uses_the_environment(tmp_path: Path) -> None:
    """REGISTRY_CONFIGURATION_PATH is used when the command line names no file."""
    path = tmp_path / "config.yml"
    path.write_text("log: {level: error}\n")

    result = moorage("config", environ={"REGISTRY_CONFIGURATION_PATH": str(path)})

    assert "level: error" in result.stdout


def test_config_refuses_a_wrong_file_with_every_problem(tmp_path: Path) -> None:
    """Each problem is one line with its place; nothing is printed as if it were in effect."""
    path = tmp_path / "config.yml"
    path.write_text("http:\n  adr: :5000\n  workers: 0\n")

    result = moorage("config", str(path))

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"error: {path}:2: http.adr is not a setting; did you mean http.addr?",
        f"error: {path}:3: http.workers: 0 is too little: at least 1",
    ]


def test_config_prints_schema_and_reference() -> None:
    """--schema prints a JSON Schema, --reference the documentation, and never both."""
    assert "properties" in json.loads(moorage("config", "--schema").stdout)
    assert moorage("config", "--reference").stdout == markdown()
    both = moorage("config", "--schema", "--reference")
    assert both.returncode == 1
    assert "choose one" in both.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    """The script for each shell names the program, its commands and their options."""
    result = moorage("completion", shell)

    assert result.returncode == 0
    assert "moorage" in result.stdout
    assert "config" in result.stdout
    assert "schema" in result.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`moorage config --reference | head -1` ends quietly."""
    command = f"{sys.executable} -m moorage config --reference | head -1"
    result = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=False, timeout=30
    )

    assert (result.stdout, result.stderr) == ("# Settings\n", "")
