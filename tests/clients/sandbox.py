# SPDX-License-Identifier: Apache-2.0
"""A home of the test's own for programs that keep credentials, images and settings in one.

Nothing of the person who runs the tests is read or written: every program started here sees a home,
policy, registry list and image store below `folder`. As root each one also gets its own mount
namespace, with its own folders where these programs keep the state of the whole machine, so that
a mount left behind ends with the program that made it.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

COMMAND_SECONDS = 240.0
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TERM", "TMPDIR")
# Where root's programs keep the state of the whole machine: which registry has which layer, which
# containers run. podman takes no path of more than 50 characters for the last two.
SHARED = (Path("/var/lib/containers"), Path("/run/libpod"), Path("/run/containers"))
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def tool(name: str, package: str | None = None) -> str:
    """The path of a program; without it the test is skipped and says which package has it."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *SYSTEM_FOLDERS]))
    if path is None:
        pytest.skip(f"{name} is not installed (Debian package {package or name})")
    return path


@functools.cache
def may_mount() -> bool:
    """Whether programs can be given mounts of their own, as root outside of a container can."""
    if os.geteuid() != 0:
        return False
    private = ["unshare", "--mount", "mount", "--make-rprivate", "/"]
    return subprocess.run(private, capture_output=True, check=False).returncode == 0


def need_root(what: str) -> None:
    """Skip the test unless it runs as a root that may mount."""
    if os.geteuid() != 0:
        pytest.skip(f"{what} needs root")
    if not may_mount():
        pytest.skip(f"{what} needs mounts of its own, which unshare is not allowed to make here")


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended, with what it printed."""

    command: tuple[str, ...]
    code: int
    output: str
    errors: str

    @property
    def text(self) -> str:
        """Both streams, for messages that a client may write to either."""
        return self.output + self.errors

    def __str__(self) -> str:
        return f"{' '.join(self.command)}\nended with {self.code}\n{self.output}\n{self.errors}"


@dataclass(frozen=True)
class Sandbox:
    """A home folder and the environment that points every client at it."""

    folder: Path

    @cached_property
    def environment(self) -> dict[str, str]:
        """The whole environment of a program started here; proxies are not passed on."""
        containers = self.folder / ".config" / "containers"
        containers.mkdir(parents=True)
        runtime = self.folder / "runtime"
        runtime.mkdir(mode=0o700)
        (containers / "policy.json").write_text(
            json.dumps({"default": [{"type": "insecureAcceptAnything"}]})
        )
        (containers / "registries.conf").write_text("unqualified-search-registries = []\n")
        runroot = "/run/containers/storage" if may_mount() else f"{self.folder}/runroot"
        (containers / "storage.conf").write_text(
            "[storage]\n"
            'driver = "vfs"\n'
            f'graphroot = "{self.folder}/storage"\n'
            f'runroot = "{runroot}"\n'
        )
        (containers / "containers.conf").write_text(
            "[engine]\n"
            'cgroup_manager = "cgroupfs"\n'
            'events_logger = "file"\n'
            f'volume_path = "{self.folder}/volumes"\n'
            "[network]\n"
            f'network_config_dir = "{self.folder}/networks"\n'
        )
        # podman refuses to start when the file that it is told to use is not there.
        (self.folder / "auth.json").write_text("{}")
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        kept["PATH"] = os.pathsep.join([os.environ["PATH"], *SYSTEM_FOLDERS])
        return kept | {
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder / ".config"),
            "XDG_DATA_HOME": str(self.folder / ".local"),
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
            "XDG_RUNTIME_DIR": str(runtime),
            "DOCKER_CONFIG": str(self.folder / ".docker"),
            "REGISTRY_AUTH_FILE": str(self.folder / "auth.json"),
            "CONTAINERS_CONF": str(containers / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(containers / "registries.conf"),
            "CONTAINERS_STORAGE_CONF": str(containers / "storage.conf"),
            "STORAGE_DRIVER": "vfs",
            "BUILDAH_ISOLATION": "chroot",
        }

    def start(self, *command: str, stdin: str | None = None) -> Finished:
        """Run a program to its end; how it ended is for the test to judge."""
        done = subprocess.run(
            [*self._private(), *command],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            cwd=self.folder,
            env=self.environment,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return Finished(command, done.returncode, done.stdout, done.stderr)

    def _private(self) -> tuple[str, ...]:
        """What puts a command into a mount namespace of its own, where that is allowed."""
        if not may_mount():
            return ()
        binds = []
        for number, shared in enumerate(SHARED):
            own = self.folder / f"own{number}"
            own.mkdir(exist_ok=True)
            shared.mkdir(parents=True, exist_ok=True)
            binds.append(shlex.join(["mount", "--bind", str(own), str(shared)]))
        return ("unshare", "--mount", "sh", "-c", " && ".join([*binds, 'exec "$@"']), "sh")

    def run(self, *command: str, stdin: str | None = None) -> str:
        """Run a program that has to succeed; return what it printed."""
        finished = self.start(*command, stdin=stdin)
        assert finished.code == 0, str(finished)
        return finished.output.strip()

    def fails(self, *command: str, stdin: str | None = None) -> str:
        """Run a program that has to fail; return everything it said."""
        finished = self.start(*command, stdin=stdin)
        assert finished.code != 0, str(finished)
        return finished.text
