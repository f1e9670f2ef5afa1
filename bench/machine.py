# SPDX-License-Identifier: Apache-2.0
"""What a figure was measured on: processor, memory, kernel, disk, and the versions of everything.

Only facts that a reader needs to judge or repeat a run; nothing that names a host or a person.
"""

from __future__ import annotations

import os
import platform
import re
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contestants import DISTRIBUTION_COMMAND, MOORAGE_COMMAND

if TYPE_CHECKING:
    from collections.abc import Sequence


def machine_facts(folder: Path) -> dict[str, str]:
    """The facts in the order in which they are shown."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    facts = {
        "Measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Processor": f"{cores} cores of {_processor()}, {memory:.0f} GB memory",
        "System": f"Linux {os.uname().release}, {_distribution()}, {_file_system(folder)}",
        "Moorage": _version([*MOORAGE_COMMAND, "--version"]),
        "Python": platform.python_version(),
        "distribution": _version([*DISTRIBUTION_COMMAND, "--version"]),
        "nginx": _version(["nginx", "-v"]),
        "Client": f"wrk {_version(['wrk', '-v'])}, curl {_version(['curl', '--version'])}",
        "TLS": ssl.OPENSSL_VERSION,
    }
    return {name: value for name, value in facts.items() if value}


def load_average() -> float:
    """How many processes wanted a core over the last minute."""
    return os.getloadavg()[0]


def _version(command: Sequence[str]) -> str:
    """The first thing in a program's answer that looks like a version."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    found = re.search(r"\d+\.\d+[\w.+~-]*", answer.stdout + answer.stderr)
    return found.group() if found else ""


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _file_system(folder: Path) -> str:
    """The type of the file system that holds the data: the longest mount point wins."""
    place, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, mounted, *_ = line.split()
        inside = folder.resolve().is_relative_to(mount)
        if inside and len(mount) >= len(place):
            place, kind = mount, mounted
    return kind
