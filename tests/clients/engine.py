# SPDX-License-Identifier: Apache-2.0
"""A Docker engine and a containerd of the tests' own, beside whatever runs on the machine.

Each daemon lives in its own mount and process namespace with its own `/etc/docker` and
`/etc/hosts`: ending its first process ends everything it started, its mounts go with it, and the
certificate that a test installs is seen by this engine only. No bridge or firewall rule is made.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.clients.sandbox import Finished, Sandbox, tool

START_SECONDS = 40.0
STOP_SECONDS = 40.0
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# A name of the IPv6 loopback address: Docker takes any certificate from 127.0.0.0/8, so only a
# registry elsewhere shows that it checks one.
STRICT_HOST = "registry.test"


@dataclass
class Daemon:
    """One daemon in namespaces of its own; `script` is run by sh as their first process."""

    folder: Path
    script: str
    ready: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything the daemon has printed so far."""
        return (self.folder / "daemon.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        sandbox = Sandbox(self.folder)
        environment = sandbox.environment
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*NAMESPACES, "sh", "-ec", self.script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                pytest.skip(f"{self.ready[0]}'s daemon cannot run here: {self.log[-1500:]}")
            if sandbox.start(*self.ready).code == 0:
                return self
            time.sleep(0.2)
        self._end()
        pytest.skip(f"{self.ready[0]}'s daemon did not start within {START_SECONDS} s: {self.log}")

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        """Ask the first process of the namespace to end; the kernel ends the others with it."""
        assert self.process is not None, "the daemon was never started"
        parent = self.process.pid
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
                subprocess.run(["kill", f"-{signal.SIGTERM.value}", child], check=False)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def docker_engine(folder: Path) -> Daemon:
    """A Docker engine with the classic image store, not yet started."""
    dockerd = tool("dockerd", "docker.io")
    settings = folder / "etc-docker"
    (settings / "certs.d").mkdir(parents=True)
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost6 {STRICT_HOST}\n")
    Path("/etc/docker").mkdir(exist_ok=True)
    command = [
        dockerd,
        "--iptables=false",
        "--ip6tables=false",
        "--bridge=none",
        "--storage-driver=vfs",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/docker.pid",
        f"--host={socket_of(folder)}",
    ]
    script = "\n".join(
        [
            "mount --make-rprivate /",
            shlex.join(["mount", "--bind", str(folder / "hosts"), "/etc/hosts"]),
            shlex.join(["mount", "--bind", str(settings), "/etc/docker"]),
            "exec " + shlex.join(command),
        ]
    )
    docker = tool("docker", "docker.io")
    return Daemon(folder, script, (docker, "--host", socket_of(folder), "version"))


def socket_of(folder: Path) -> str:
    """Where the daemon of this folder listens."""
    return f"unix://{folder}/docker.sock"


@dataclass(frozen=True)
class Docker:
    """The docker command with one engine and the credentials of one sandbox."""

    engine: Daemon
    sandbox: Sandbox

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a docker command that has to succeed; return what it printed."""
        return self.sandbox.run(*self._command(arguments), stdin=stdin)

    def fails(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a docker command that has to fail; return everything it said."""
        return self.sandbox.fails(*self._command(arguments), stdin=stdin)

    def start(self, *arguments: str, stdin: str | None = None) -> Finished:
        """Run a docker command; how it ended is for the test to judge."""
        return self.sandbox.start(*self._command(arguments), stdin=stdin)

    def image_id(self, reference: str) -> str:
        """The id of an image in the engine's store."""
        return self("image", "inspect", "--format", "{{.Id}}", reference)

    def pushed_digest(self, reference: str) -> str:
        """The digest under which the engine knows the image in this registry."""
        repository = reference.rpartition(":")[0]
        listed = self("image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', reference)
        digests = [line for line in listed.splitlines() if line.startswith(repository + "@")]
        assert len(digests) == 1, f"{reference} has {listed}"
        return digests[0].partition("@")[2]

    def trust(self, host: str, authority: Path) -> None:
        """Let this engine trust the authority for that host."""
        self.trusted(host).mkdir(parents=True)
        (self.trusted(host) / "ca.crt").write_bytes(authority.read_bytes())

    def distrust(self, host: str) -> None:
        """Take the authority back."""
        (self.trusted(host) / "ca.crt").unlink()
        self.trusted(host).rmdir()

    def trusted(self, host: str) -> Path:
        """What this engine sees as `/etc/docker/certs.d/HOST`."""
        return self.engine.folder / "etc-docker" / "certs.d" / host

    def _command(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        classic = ("env", "DOCKER_BUILDKIT=0")
        return (*classic, "docker", "--host", socket_of(self.engine.folder), *arguments)


CONTAINERD_CONFIG = """\
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"""


def containerd(folder: Path) -> Daemon:
    """A containerd as Kubernetes nodes run one, not yet started."""
    daemon = tool("containerd")
    ctr = tool("ctr", "containerd")
    config = folder / "containerd.toml"
    config.write_text(CONTAINERD_CONFIG.format(folder=folder))
    command = [
        daemon,
        f"--config={config}",
        f"--address={folder}/containerd.sock",
        f"--root={folder}/root",
        f"--state={folder}/state",
    ]
    script = "mount --make-rprivate /\nexec " + shlex.join(command)
    return Daemon(folder, script, (ctr, "--address", f"{folder}/containerd.sock", "version"))
