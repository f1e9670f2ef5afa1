# SPDX-License-Identifier: Apache-2.0
"""What a test needs of the machine: a program, or to be root. Without it the test is skipped.

A skip always says what is missing and where to get it, and pytest's summary counts it. The packages
are those of requirements/system.txt, which `make test` installs where it may.
"""

from __future__ import annotations

import os
import shutil

import pytest

# Debian keeps servers here, outside the PATH of an ordinary user.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def need(tool: str, package: str) -> str:
    """The path of a program, or a skip that names the Debian package."""
    path = shutil.which(tool, path=os.pathsep.join([os.environ["PATH"], *SYSTEM_FOLDERS]))
    if path is None:
        pytest.skip(f"{tool} is not installed (Debian package {package})")
    return path


def need_root() -> None:
    """Skip the test unless it runs as root."""
    if os.geteuid() != 0:
        pytest.skip("only root may do this (run the tests as root)")
