# SPDX-License-Identifier: Apache-2.0
"""A registry process of the test's own: started on a free loopback port, ended with the test.

The same configuration keys drive `moorage` and distribution's `docker-registry`, so a comparison or
a second opinion only has to name another program.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOORAGE = (sys.executable, "-m", "moorage", "serve")
START_SECONDS = 20.0
# With one of these the configuration gets no folder for blobs.
OTHER_STORES = {"inmemory", "s3", "gcs", "azure"}
# Below what kernels give to clients (from 32768): such a port stays free while its registry is
# down, and nobody who tries to connect to it meanwhile is connected to himself.
PORTS = range(10_000, 32_000)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class RunningRegistry:
    """One registry process; `config` is merged over a configuration for `folder`."""

    folder: Path
    config: Mapping[str, object] = field(default_factory=dict)
    program: Sequence[str] = MOORAGE
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """What an image reference begins with."""
        return f"127.0.0.1:{self.port}"

    @property
    def root(self) -> Path:
        """The registry's data folder."""
        return self.folder / "data"

    @property
    def log(self) -> str:
        """Everything the process has printed so far."""
        return (self.folder / "registry.log").read_text(errors="replace")

    def write_config(self) -> Path:
        """Write the configuration file (JSON is YAML) and return its path."""
        storage: dict[str, object] = {"delete": {"enabled": True}}
        given = self.config.get("storage")
        if not (isinstance(given, dict) and OTHER_STORES & given.keys()):
            storage["filesystem"] = {"rootdirectory": str(self.root)}
        defaults: dict[str, object] = {
            "version": 0.1,
            "storage": storage,
            "http": {"addr": self.host},
        }
        path = self.folder / "config.yml"
        path.write_text(json.dumps(merge(defaults, self.config)))
        return path

    def start(self) -> RunningRegistry:
        """Start the process and wait until it accepts connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(exist_ok=True)
        command = [*self.program, str(self.write_config()), *self.arguments]
        with (self.folder / "registry.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                message = f"the registry ended with {self.process.returncode}:\n{self.log}"
                raise RuntimeError(message)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            time.sleep(0.02)
        self.kill()
        message = f"the registry did not listen within {START_SECONDS} s:\n{self.log}"
        raise RuntimeError(message)

    def stop(self) -> int:
        """End the process as a service manager would; return its exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(30)
        finally:
            self.kill()
        return code

    def kill(self) -> None:
        """End the whole process tree at once, as a power cut would."""
        process = self._running()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        # A worker that outlives its supervisor by a moment still holds the port's listener.
        deadline = time.monotonic() + 30
        while _alive_in_group(process.pid) and time.monotonic() < deadline:
            time.sleep(0.005)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "the registry was never started"
        return self.process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """The two trees joined; where both have a value, `over` wins."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = merge(below, value)
        else:
            result[key] = value
    return result


def _alive_in_group(group: int) -> bool:
    """Whether a process of the group still runs; one that only waits to be buried does not."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; after it: state, parent, group.
                state, _, found = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(found) == group and state not in "ZX":
                    return True
    return False
