# SPDX-License-Identifier: Apache-2.0
"""The systemd unit: understood by systemd, tight, and not too tight for what the registry does.

No systemd need run here. That the filter of system calls lets everything through is seen from a
trace of a registry at work.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from moorage.settings import load
from tests.deploy.places import DEPLOY
from tests.support.images import blob_path, manifest_path, push_image, random_image
from tests.support.registry import MOORAGE, RunningRegistry
from tests.support.tools import need
from tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

UNIT = DEPLOY / "systemd" / "moorage.service"
# Tenths: systemd counts from 0 (safe) to 10. What it calls OK ends at 4.9; at 2 little is open.
MOST_EXPOSED = 20
SECONDS = {"": 1, "s": 1, "min": 60}
CALL = re.compile(r"^[0-9]+ +([a-z0-9_]+)\(", re.MULTILINE)


def service() -> dict[str, list[str]]:
    """The settings of the section Service; systemd allows them more than once."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def seconds(name: str) -> int:
    """A time span of the unit."""
    found = re.fullmatch(r"([0-9]+)(s|min)?", service()[name][0])
    assert found is not None
    return int(found[1]) * SECONDS[found[2] or ""]


def calls_of(group: str) -> set[str]:
    """The system calls of one of systemd's groups, those of the groups in it included."""
    analyze = need("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyze, "syscall-filter", group], capture_output=True, text=True, check=True
    )
    names = {line.strip() for line in done.stdout.splitlines()[1:]} - {""}
    below = {name for name in names if name.startswith("@")}
    plain = {name for name in names if not name.startswith(("@", "#"))}
    return plain.union(*(calls_of(name) for name in below))


def test_systemd_understands_it(tmp_path: Path) -> None:
    """The machine's systemd has nothing to say about the unit, once there is a program."""
    analyze = need("systemd-analyze", "systemd")
    unit = tmp_path / "moorage.service"
    text = UNIT.read_text()
    assert "/opt/moorage/bin/moorage" in text
    unit.write_text(text.replace("/opt/moorage/bin/moorage", sys.executable + " -m moorage"))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)

    ours = [line for line in done.stderr.splitlines() if "moorage" in line]
    assert (done.returncode, ours) == (0, [])


def test_exposure() -> None:
    """The machine's systemd finds the unit tight."""
    analyze = need("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is too old to judge a unit that is not loaded (systemd 250)")

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_call_is_allowed(tmp_path: Path) -> None:
    """Whatever the registry asks of the kernel while it is started, pushed to, pulled from and
    stopped is let through.
    """
    strace = need("strace", "strace")
    if subprocess.run([strace, "-f", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here (ptrace is not permitted)")
    trace = tmp_path / "trace"
    config = {"http": {"workers": 2, "headers": {}}}
    program = (strace, "-D", "-f", "-qq", "-o", str(trace), *MOORAGE)
    image = random_image(layers=2, layer_size=1 << 20)
    with RunningRegistry(tmp_path / "registry", config, program) as registry:
        with Wire(f"http://{registry.host}") as wire:
            assert push_image(wire, "demo/app", image, "1").status == 201
            for blob in image.blobs:
                assert wire.get(blob_path("demo/app", blob.digest)).status == 200
            assert wire.delete(manifest_path("demo/app", "1")).status == 202
        assert registry.stop() == 0
    asked = set(CALL.findall(trace.read_text(errors="replace")))
    allowed: set[str] = set()
    for line in service()["SystemCallFilter"]:
        groups = line.removeprefix("~").split()
        calls = set[str]().union(*(calls_of(group) for group in groups))
        allowed = allowed - calls if line.startswith("~") else allowed | calls

    assert {"sendfile", "fdatasync", "accept4"} <= asked
    # SQLite gives what it makes to the folder's owner, but only when it is root, as tests are.
    assert asked - allowed - {"fchown"} == set()


def test_settings_fit() -> None:
    """The example's settings use the unit's folders, and end before systemd loses its patience."""
    settings = load(DEPLOY / "systemd" / "config.yml", {}).settings
    unit = service()
    state = unit["StateDirectory"][0]
    (command,) = unit["ExecStart"]

    assert str(settings.storage.filesystem.rootdirectory) == f"/var/lib/{state}"
    assert command.endswith(f"/etc/{unit['ConfigurationDirectory'][0]}/config.yml")
    assert seconds("TimeoutStopSec") > settings.http.draindelay + settings.http.draintimeout
    assert int(unit["LimitNOFILE"][0]) > 2 * settings.limits.connections
    assert unit["Type"] == ["notify"]
