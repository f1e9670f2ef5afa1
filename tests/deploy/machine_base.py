# SPDX-License-Identifier: Apache-2.0
"""A base image and a folder of wheels out of what is on this machine: nothing is downloaded.

The base is the Python that runs the tests with its libraries, and busybox. A wheel is an installed
package put back into the archive that it came from. Both are smaller than, and otherwise like, what
people build from.
"""

from __future__ import annotations

import base64
import email
import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.clients.sandbox import tool
from tests.deploy.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTRAS = ("postgres", "objects")
# Of the standard library: what no server imports, and what belongs to this machine only.
LEFT_OUT = (
    "__pycache__", "config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "site-packages",
    "test", "tests", "tkinter", "turtledemo",
)  # fmt: skip
# Extension modules written in C++ and Rust ask for these, and every Debian has them.
EVERYWHERE = ("libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "librt.so.1")
NOT_PACKED = ("direct_url.json", "INSTALLER", "RECORD", "REQUESTED")


def make_base(root: Path) -> None:
    """A root file system with /usr/local/bin/python3, a shell and nothing else to speak of."""
    busybox = Path(tool("busybox", "busybox-static"))
    binaries = root / "usr" / "local" / "bin"
    stdlib = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
    interpreter = Path(sys.executable).resolve()
    binaries.mkdir(parents=True)
    shutil.copy(interpreter, binaries / "python3")
    target = root / "usr" / "local" / "lib" / stdlib.name
    shutil.copytree(stdlib, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for folder in ("bin", "etc", "tmp", "proc", "dev", "sys"):
        (root / folder).mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copy(busybox, root / "bin" / "busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("busybox")
    copy_libraries(root, [interpreter, busybox, *target.rglob("*.so")])


def copy_libraries(root: Path, binaries: list[Path]) -> None:
    """What the dynamic linker would load for these, at the places where it looks."""
    needed = set()
    for binary in binaries:
        listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
        needed |= {
            word for word in listed.stdout.split() if word.startswith("/") and ":" not in word
        }
    linker = [tool("ldconfig", "libc-bin"), "-p"]
    known = subprocess.run(linker, capture_output=True, text=True, check=True).stdout.splitlines()
    needed |= {line.split()[-1] for line in known if line.strip().startswith(EVERYWHERE)}
    for library in needed:
        target = root / library.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)


def make_wheels(folder: Path, moorage: Path) -> None:
    """A wheel for every package that the registry needs with its extras, for pip, and its own."""
    folder.mkdir()
    shutil.copy(moorage, folder)
    for name in sorted(closure(requirements_of(moorage)) | {"pip"}):
        pack(importlib.metadata.distribution(name), folder)


def requirements_of(wheel: Path) -> list[str]:
    """What a wheel asks for: of the registry, none may be installed, but its checkout in use."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    return metadata.get_all("Requires-Dist") or []


def closure(asked: Iterable[str]) -> set[str]:
    """The packages that these requirements with our extras mean here, and what those need."""
    found: set[str] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(line, EXTRAS) for line in asked]
    while waiting:
        line, extras = waiting.pop()
        wanted = Requirement(line)
        marker = wanted.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        name = canonicalize_name(wanted.name)
        if name not in found:
            found.add(name)
            below = importlib.metadata.requires(name) or []
            waiting += [(each, tuple(wanted.extras)) for each in below]
    return found


def pack(distribution: importlib.metadata.Distribution, folder: Path) -> None:
    """Put an installed package back into a wheel."""
    about = distribution.read_text("WHEEL") or ""
    tags = [line.partition(": ")[2] for line in about.splitlines() if line.startswith("Tag: ")]
    name = distribution.metadata["Name"].replace("-", "_")
    stem = f"{name}-{distribution.version}"
    record, place = [], ""
    with zipfile.ZipFile(folder / f"{stem}-{tags[0]}.whl", "w") as wheel:
        for file in distribution.files or []:
            skipped = file.parts[0] == ".." or "__pycache__" in file.parts
            if skipped or (file.parts[0].endswith(".dist-info") and file.name in NOT_PACKED):
                continue
            content = file.read_binary()
            wheel.writestr(str(file), content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            record.append(f"{file},sha256={digest.decode()},{len(content)}")
            if file.name == "METADATA":
                place = str(file.parent / "RECORD")
        wheel.writestr(place, "\n".join([*record, f"{place},,", ""]))


def wheel_of_the_checkout(folder: Path) -> Path:
    """The registry's wheel, built from the checkout."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", str(folder)]
    subprocess.run([*build, *options, str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("moorage-*.whl")
    return wheel
