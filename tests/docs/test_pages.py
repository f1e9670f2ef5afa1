# SPDX-License-Identifier: Apache-2.0
"""What the documents name exists: links, commands, options, settings, routes, error codes."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from moorage.cli.main import COMMANDS, create_app
from moorage.distribution.routes import ROUTES
from moorage.settings import load
from moorage.settings.elsewhere import covering
from moorage.settings.environment import CONFIGURATION_PATH
from moorage.settings.leaves import Branch, environment_name
from moorage.settings.tree import shape
from moorage.spec import errors
from tests.docs.pages import ROOT, Block, blocks, code, pages

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURE = ROOT / "docs" / "architecture.md"
PROTOCOL = ROOT / "docs" / "protocol.md"
ROUTES_TABLE = re.compile(r"<!-- routes: begin -->\n(.*?)<!-- routes: end -->", re.DOTALL)
ERROR_ROW = re.compile(r"^\| `([A-Z_]+)` \| ([0-9, ]+) \|", re.MULTILINE)
DOTTED = re.compile(r"([a-z0-9]+(?:\.[a-z0-9]+)+)(?::.*)?")
VARIABLE = re.compile(r"\bREGISTRY_[A-Z0-9_]*[A-Z0-9]\b")
COMMAND = re.compile(r"\bmoorage ([a-z]+)([^\n|&;]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
MAKE = re.compile(r"^(?:[\w$=./\" -]+ )?make((?: [a-z]+)+)", re.MULTILINE)
FILES = (".py", ".md", ".yml", ".json", ".toml", ".conf", ".db")
WORDS = {row.word for row in COMMANDS}


def routes_table() -> str:
    """The table of the architecture page, as it should be."""
    rows = ["| request | right | specification |", "|---|---|---|"]
    for route in ROUTES:
        ends = route.end or "none"
        rows.append(f"| `{route.method} {route.path}` | {route.permission} | {ends} |")
    return "\n".join(rows) + "\n"


def branches(branch: Branch) -> list[Branch]:
    """All sections of the settings."""
    below = [child for child in branch.children.values() if isinstance(child, Branch)]
    return [branch, *(deeper for child in below for deeper in branches(child))]


def known_paths() -> set[tuple[str, ...]]:
    """Every setting and every section."""
    return {leaf.path for leaf in shape().leaves()} | {each.path for each in branches(shape())}


def mentioned_commands() -> list[tuple[str, str, str]]:
    """Each `moorage WORD ...` of blocks and text: where, the word, the rest."""
    found = [(str(block), text) for block in blocks("sh") for text in [block.text]]
    found += [(page.name, text) for page in pages() for text in code(page)]
    return [
        (where, match[1], match[2].partition("#")[0])
        for where, text in found
        for match in COMMAND.finditer(text)
    ]


def test_links() -> None:
    """Every link inside the project leads to a file and a heading that exist."""
    checker = [sys.executable, str(ROOT / "scripts" / "check_links.py")]
    done = subprocess.run(checker, capture_output=True, text=True, check=False)

    assert done.stderr == ""


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_shell_syntax(block: Block) -> None:
    """A shell accepts every block of commands."""
    done = subprocess.run(
        ["sh", "-n"], input=block.text, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_configuration(block: Block, tmp_path: Path) -> None:
    """Every configuration that is shown can be loaded, without a warning."""
    file = tmp_path / "config.yml"
    file.write_text(block.text)

    assert load(file, {}).warnings == ()


def test_routes() -> None:
    """The table of routes is the one that requests go by."""
    found = ROUTES_TABLE.search(ARCHITECTURE.read_text())

    assert found is not None
    assert found[1] == routes_table()


def test_specification_ends() -> None:
    """Each operation of the specification that is implemented has its row in the protocol page."""
    ends = {end.strip() for route in ROUTES for end in route.end.split(",") if end.strip()}
    listed = {
        end.strip()
        for row in re.findall(r"^\| (end-[^|]+)\|", PROTOCOL.read_text(), re.MULTILINE)
        for end in row.split(",")
    }

    assert listed == ends


def test_error_codes() -> None:
    """Each error code is listed with the statuses that it comes with."""
    statuses: dict[str, set[int]] = {}
    kinds = [errors.OCIError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        statuses.setdefault(kind.code, set()).add(kind.status)
    for code_name, listed in ERROR_ROW.findall(PROTOCOL.read_text()):
        assert {int(status) for status in listed.split(",")} == statuses[code_name], code_name


def test_commands_are_mentioned() -> None:
    """Every command of the program appears somewhere in the documents."""
    assert {word for _, word, _ in mentioned_commands()} >= WORDS


def test_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command and option that the documents show is one of the program's."""
    helps: dict[str, set[str]] = {}
    for where, word, rest in mentioned_commands():
        assert word in WORDS, where
        if word not in helps:
            create_app()([word, "--help"])
            helps[word] = set(OPTION.findall(capsys.readouterr().out))
        assert set(OPTION.findall(rest)) <= helps[word] | {"--help"}, (where, word, rest)


def test_make_targets() -> None:
    """Every `make` target that the documents show is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = [block.text for block in blocks("sh", "")]
    shown += [text for page in pages() for text in code(page)]
    named = {word for text in shown for found in MAKE.findall(text) for word in found.split()}

    assert named <= targets


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    """Every setting and every variable that a page names exists."""
    known = known_paths()
    sections = {path[0] for path in known if path}
    unknown = []
    for text in code(page):
        found = DOTTED.fullmatch(text)
        path = tuple(found[1].split(".")) if found and not found[1].endswith(FILES) else ()
        if path and path[0] in sections and path not in known and covering(path) is None:
            unknown.append(text)
    names = {environment_name(path) for path in known if path} | {CONFIGURATION_PATH}
    unknown += [
        variable
        for variable in VARIABLE.findall(page.read_text())
        if not any(variable == name or variable.startswith(f"{name}_") for name in names)
    ]

    assert unknown == []
