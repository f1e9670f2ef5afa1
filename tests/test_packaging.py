# SPDX-License-Identifier: Apache-2.0
"""The wheel as a user gets it: complete, honest about what it needs, and the thing under test.

`make test` installs the wheel and says so in MOORAGE_TEST_WHEEL; a pytest started by hand runs
against the checkout, and the tests that only a wheel can pass are skipped.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import moorage

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
PINNED = ("bench", "build", "dev", "runtime", "test")
OURS = {"bench", "moorage", "tests"}
# Used without an import statement: pytest finds its plugins, the import rules run in another
# process, and what may be missing is imported by `pytest.importorskip`.
NOT_IMPORTED = {
    "flask",
    "flask-cors",
    "import-linter",
    "moto",
    "oras",
    "pytest-timeout",
    "pytest-xdist",
}
CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


def project() -> dict[str, object]:
    """The [project] table of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def declared() -> set[str]:
    """The distributions that the wheel asks for."""
    wanted = importlib.metadata.requires("moorage") or []
    return {canonicalize_name(Requirement(line).name) for line in wanted}


def listed(name: str) -> set[str]:
    """The distributions of one requirements/NAME.in."""
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    return {canonicalize_name(Requirement(line).name) for line in wanted}


def imported(folder: Path) -> set[str]:
    """The top-level modules of others that the Python files below a folder import."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - OURS


def distributions(modules: set[str]) -> set[str]:
    """The distributions that provide these modules; a module that nobody provides stands alone."""
    providers = importlib.metadata.packages_distributions()
    return {
        canonicalize_name(name) for module in modules for name in providers.get(module, [module])
    }


@pytest.fixture
def wheel() -> Path:
    """The wheel that `make test` has built and installed."""
    name = os.environ.get("MOORAGE_TEST_WHEEL")
    if name is None:
        pytest.skip("runs against the checkout; `make test` builds and installs the wheel")
    return ROOT / name


def test_the_wheel_is_what_is_tested(wheel: Path) -> None:
    """`import moorage` finds the installed wheel, not the checkout."""
    assert wheel.is_file()
    assert moorage.__file__ is not None
    assert "site-packages" in Path(moorage.__file__).parts
    assert not Path(moorage.__file__).is_relative_to(ROOT / "src")


def test_the_wheel_is_complete(wheel: Path) -> None:
    """Everything below src is in the wheel, and nothing else but its metadata."""
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and CACHES.isdisjoint(path.parts)
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert packed == source
    assert "moorage/py.typed" in packed


def test_the_license_travels_with_the_wheel(wheel: Path) -> None:
    """The wheel carries the license it names."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (entry for entry in archive.namelist() if entry.endswith("licenses/LICENSE"))
        packed = archive.read(name)

    assert packed == (ROOT / "LICENSE").read_bytes()
    assert importlib.metadata.metadata("moorage")["License-Expression"] == "Apache-2.0"


def test_versions_agree() -> None:
    """The package, its metadata and pyproject.toml name the same version."""
    assert moorage.__version__ == project()["version"] == importlib.metadata.version("moorage")


def test_the_command_starts() -> None:
    """The installed command `moorage` runs and tells its version."""
    command = shutil.which("moorage", path=str(Path(sys.executable).parent))
    assert command is not None
    result = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=False, timeout=60
    )

    assert result.returncode == 0, result.stderr
    assert moorage.__version__ in result.stdout


def test_the_program_imports_what_it_declares() -> None:
    """Each dependency is imported by the program, and each import is a declared dependency."""
    assert moorage.__file__ is not None

    assert distributions(imported(Path(moorage.__file__).parent)) == declared()


def test_the_tests_import_what_they_declare() -> None:
    """Each requirement of the tests is used by them, and each import is one of them."""
    used = distributions(imported(ROOT / "tests")) - declared()

    assert used == listed("test") - NOT_IMPORTED


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md explains each direct dependency, and nothing that is gone."""
    text = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {
        canonicalize_name(name) for name in re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)
    }

    assert explained == declared().union(*map(listed, ("bench", "build", "dev", "test")))


@pytest.mark.parametrize("name", PINNED)
def test_pins_are_exact_and_name_no_index(name: str) -> None:
    """Every pin has one version and its hashes, and pip is never told where to get it."""
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))

    for entry in filter(None, entries):
        assert re.match(
            r"^[a-z0-9.-]+==[^\s;]+ \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n?)+$", entry
        )
    assert "://" not in text


def test_pins_are_what_the_project_asks_for() -> None:
    """The pinned versions satisfy the ranges of pyproject.toml, and all files agree."""
    pins: dict[str, str] = {}
    for name in PINNED:
        text = (REQUIREMENTS / f"{name}.txt").read_text()
        for package, version in re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE):
            assert pins.setdefault(package, version) == version

    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    for requirement in map(Requirement, dependencies):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])
