# SPDX-License-Identifier: Apache-2.0
"""What a test needs of the machine: a program, or to be root. Without it the test is skipped.

A skip always says what is missing and where to get it, and pytest's summary counts it. The packages
are those of requirements/system.txt, which `make test` installs where it may; programs that are no
Debian packages are put into the folder .tools by scripts/install-servers.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Debian keeps servers here, outside the PATH of an ordinary user.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
# Where scripts/install-servers puts programs: built by go, installed by npm.
TOOLS = Path(__file__).resolve().parents[2] / ".tools"
TOOL_FOLDERS = (str(TOOLS / "bin"), str(TOOLS / "node_modules" / ".bin"))


def find(tool: str) -> str | None:
    """The path of a program if it is installed; what the person has on PATH comes first."""
    folders = [os.environ["PATH"], *SYSTEM_FOLDERS, *postgresql_folders(), *TOOL_FOLDERS]
    return shutil.which(tool, path=os.pathsep.join(folders))


def postgresql_folders() -> list[str]:
    """Where Debian keeps the programs of each version of PostgreSQL's server, the newest first."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return [str(folder) for folder in sorted(found, key=_version, reverse=True)]


def _version(folder: Path) -> float:
    number = folder.parent.name
    return float(number) if number.replace(".", "", 1).isdecimal() else 0.0


def need(tool: str, package: str) -> str:
    """The path of a program, or a skip that names the Debian package."""
    path = find(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed (Debian package {package})")
    return path


def need_root() -> None:
    """Skip the test unless it runs as root."""
    if os.geteuid() != 0:
        pytest.skip("only root may do this (run the tests as root)")
