# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a program can check: who imports whom, and what a file looks like.

The import rules themselves stand in pyproject.toml under [tool.importlinter]; here they are run
against the installed package, and broken on purpose to see that they bite.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import moorage

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "bench", "scripts", "deploy")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
IMAGE_SCRIPTS = [
    ROOT / "deploy" / "image" / name for name in ("build", "collect-wheels", "install")
]
SHELL_SCRIPTS = sorted(
    path
    for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run", *IMAGE_SCRIPTS]
    if path.is_file() and path.suffix == ""
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

SPDX = "# SPDX-License-Identifier: Apache-2.0"
# The median of the codebases we like is 50 to 250 lines; past this a module holds two ideas.
MODULE_LINES = 400
FORBIDDEN_NAMES = {"common", "helper", "helpers", "misc", "util", "utils"}

LINTER = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports(no_cache=True, no_logo=True))
"""

# Where documents and comments may point, and Docker Hub, which sample settings name as a mirror's
# source. Everything else in an address is loopback, a name without a dot, or one that RFC 2606 and
# RFC 6761 keep for examples, so no test and no default ever asks somebody's server.
KNOWN_HOSTS = {
    "asgi.readthedocs.io",
    "distribution.github.io",
    "docs.docker.com",
    "github.com",
    "json-schema.org",
    "keepachangelog.com",
    "registry-1.docker.io",
    "semver.org",
    "sigstore.dev",
    "spdx.org",
    "sqlite.org",
    "www.apache.org",
    "www.rfc-editor.org",
    "www.sqlite.org",
    "www.w3.org",
}
EXAMPLE_HOST = re.compile(
    r"^([a-z0-9-]+|127\.[0-9.]+|0\.0\.0\.0|10\.[0-9.]+|192\.168\.[0-9.]+|192\.0\.2\.[0-9]+"
    r"|(.+\.)?example(\.(com|net|org))?|(.+\.)?(test|invalid|localhost))$"
)
ADDRESS = re.compile(r"\bhttps?://(?:[^/\s@\"'`]+@)?([a-z0-9][a-z0-9.-]*)", re.IGNORECASE)


def relative(path: Path) -> str:
    """How a failure names a file."""
    return str(path.relative_to(ROOT))


def lint_imports(package_parent: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of pyproject.toml against the `moorage` found in this folder."""
    return subprocess.run(
        [sys.executable, "-c", LINTER],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(package_parent), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def installed_package() -> Path:
    """The folder of the package under test."""
    assert moorage.__file__ is not None
    return Path(moorage.__file__).parent


def test_imports_point_down() -> None:
    """Every import contract of pyproject.toml holds."""
    result = lint_imports(installed_package().parent)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("spec", "import socket", "spec is pure"),
        ("spec", "import moorage.http", "Imports point down"),
        ("storage", "import moorage.db", "Imports point down"),
        ("settings", "import moorage.http", "Imports point down"),
        ("access", "import moorage.settings", "The heart takes values"),
        ("content", "import moorage.access", "Imports point down"),
        ("distribution", "import moorage.storage", "The /v2 face"),
        ("cli", "import moorage.db", "Commands are thin doors"),
    ],
)
def test_forbidden_imports_are_found(
    tmp_path: Path, module: str, statement: str, contract: str
) -> None:
    """A forbidden import breaks the contract that forbids it."""
    copy = tmp_path / "moorage"
    shutil.copytree(installed_package(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / module / "intruder.py").write_text(f"{statement}\n")

    result = lint_imports(tmp_path)

    broken = [line for line in result.stdout.splitlines() if line.endswith("BROKEN")]
    assert result.returncode == 1, result.stdout + result.stderr
    assert any(line.startswith(contract) for line in broken), result.stdout


def test_modules_are_named_by_what_they_hold() -> None:
    """No module is called utils, helpers, common or the like."""
    landfills = [relative(path) for path in MODULES if path.stem in FORBIDDEN_NAMES]

    assert not landfills


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_module_form(path: Path) -> None:
    """A module starts with its license, says what lives in it, and holds one idea."""
    text = path.read_text()
    lines = text.splitlines()

    assert lines[:1] == [SPDX]
    assert ast.get_docstring(ast.parse(text)), "the module docstring is missing"
    assert len(lines) <= MODULE_LINES, f"{len(lines)} lines: split the module"


@pytest.mark.parametrize("path", SHELL_SCRIPTS, ids=relative)
def test_script_form(path: Path) -> None:
    """A script is POSIX shell, licensed, executable and stops where something is unset."""
    lines = path.read_text().splitlines()

    assert lines[:2] == ["#!/bin/sh", SPDX]
    assert os.access(path, os.X_OK)
    assert any(re.match(r"set -e?u$", line) for line in lines)


@pytest.mark.parametrize("path", [*MODULES, *SHELL_SCRIPTS, *DOCUMENTS], ids=relative)
def test_addresses_are_examples_or_known(path: Path) -> None:
    """A file names only hosts that are loopback, made for examples, or in the list above."""
    hosts = {host.lower().rstrip(".") for host in ADDRESS.findall(path.read_text())}

    strange = {host for host in hosts - KNOWN_HOSTS if not EXAMPLE_HOST.match(host)}
    assert not strange, "use a name below example.com, or add the host to KNOWN_HOSTS"


@pytest.mark.parametrize("path", [*MODULES, *SHELL_SCRIPTS, *DOCUMENTS], ids=relative)
def test_nothing_depends_on_one_machine(path: Path) -> None:
    """No file names the home or the checkout of whoever wrote it."""
    text = path.read_text()

    for folder in (Path.home(), ROOT):
        # A folder directly below / (/root, /src) is too common a name to be a mistake.
        assert len(folder.parts) < 3 or str(folder) not in text


def test_linters_say_why_a_rule_is_off() -> None:
    """Each rule that pyproject.toml switches off has its reason on the same line."""
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.pylint]")]

    bare = [line for line in section.splitlines() if re.match(r'^  "[A-Z0-9]+",\s*(#\s*)?$', line)]
    assert not bare
