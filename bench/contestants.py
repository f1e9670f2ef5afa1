# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared, each configured as its own documentation would have it.

Fairness lives here: the same listening address, the same kind of disk, logging down to errors for
all, distribution with its in-memory descriptor cache (Debian's default) and without background
purging, nginx with sendfile. Nothing here measures.
"""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

from bench.processes import ServerProcess, cpu_seconds, free_port
from bench.wire import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

USER, PASSWORD = "bench", "bench"
# Cost 5 is what `htpasswd -B` writes by default: the cheapest bcrypt a server meets.
HTPASSWD = "bench:$2b$05$J7Ang3PSR8APvFWQElC79e5pMnvFiRCAcWBbU5.DunCfElMubRl2a\n"
MOORAGE_COMMAND = (sys.executable, "-m", "moorage")
DISTRIBUTION_COMMAND = ("docker-registry",)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for localhost."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Let openssl write a P-256 certificate, the kind most servers carry."""
    made = Certificate(folder / "server.crt", folder / "server.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(made.key), "-out", str(made.certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


@dataclass(frozen=True, slots=True)
class Setup:
    """How a contestant runs in one stage."""

    tls: Certificate | None = None
    workers: int = 1
    request_log: bool = False
    htpasswd: bool = False


class Contestant:
    """One server with its data; it may be stopped and started again with another setup."""

    key: str
    title: str

    def __init__(self, folder: Path, setup: Setup) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.root = folder / "data"
        self.root.mkdir(exist_ok=True)
        self.setup = setup
        self.port = 0
        self._process: ServerProcess | None = None

    def command(self, config: Path) -> Sequence[str]:
        """The command line that serves this configuration."""
        raise NotImplementedError

    def config(self) -> str:
        """The configuration file's text."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The first process of the running server."""
        if self._process is None:
            raise RuntimeError(f"{self.title} is not running")
        return self._process.pid

    def start(self, prefix: Sequence[str] = ()) -> None:
        """Start, optionally under a tracer, and wait for the first answer."""
        self.port = free_port()
        config = self.folder / "config.yml"
        config.write_text(self.config())
        (self.folder / "htpasswd").write_text(HTPASSWD)
        command = [*prefix, *self.command(config)]
        self._process = ServerProcess(command, self.folder / "output.log")
        try:
            self._process.wait_until(self.answers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server; its data stays."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def check_alive(self) -> None:
        """Raise with the server's last words when it has ended by itself."""
        if self._process is not None:
            self._process.check_alive()

    def answers(self) -> bool:
        """Whether the server answers a request now."""
        try:
            with self.connect() as connection:
                return connection.request("GET", self.probe_target()).status in (200, 401, 404)
        except (OSError, ssl.SSLError):
            return False

    def probe_target(self) -> str:
        """What is asked to see whether the server is up."""
        return "/v2/"

    def headers(self) -> dict[str, str]:
        """Headers every request carries."""
        if not self.setup.htpasswd:
            return {}
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    def connect(self) -> Connection:
        """A new connection with this server's headers."""
        tls = None
        if self.setup.tls is not None:
            tls = ssl.create_default_context(cafile=str(self.setup.tls.certificate))
        return Connection(self.port, tls=tls, headers=self.headers())

    def url(self, target: str) -> str:
        """The full address of a target."""
        return f"{'http' if self.setup.tls is None else 'https'}://localhost:{self.port}{target}"

    def blob_target(self, repository: str, digest: str) -> str:
        """Where a blob is read."""
        return f"/v2/{repository}/blobs/{digest}"

    def cpu(self) -> float:
        """CPU seconds of the process tree so far."""
        return cpu_seconds(self.pid)


class Moorage(Contestant):
    """`moorage serve`, as it comes."""

    key = "moorage"
    title = "Moorage"

    def command(self, config: Path) -> Sequence[str]:
        """The command line that serves this configuration."""
        return [*MOORAGE_COMMAND, "serve", str(config)]

    def config(self) -> str:
        """The configuration file's text."""
        return registry_config(self, {"http.workers": str(self.setup.workers)})


class Distribution(Contestant):
    """Debian's docker-registry."""

    key = "distribution"
    title = "distribution"

    def command(self, config: Path) -> Sequence[str]:
        """The command line that serves this configuration."""
        return [*DISTRIBUTION_COMMAND, "serve", str(config)]

    def config(self) -> str:
        """The configuration file's text."""
        return registry_config(
            self,
            {
                "http.secret": "bench",
                "storage.cache.blobdescriptor": "inmemory",
                "storage.maintenance.uploadpurging.enabled": "false",
            },
        )


class Nginx(Contestant):
    """nginx with one worker, serving files: what the kernel can do."""

    key = "nginx"
    title = "nginx"

    def command(self, config: Path) -> Sequence[str]:
        """The command line that serves this configuration."""
        return ["nginx", "-p", str(self.folder), "-c", str(config), "-e", "stderr"]

    def config(self) -> str:
        """The configuration file's text."""
        user = "user root;" if os.geteuid() == 0 else ""
        tls = self.setup.tls
        lines = "" if tls is None else (
            f"ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key};"
            " ssl_protocols TLSv1.2 TLSv1.3;"
        )  # fmt: skip
        return dedent(f"""\
            daemon off; pid nginx.pid; worker_processes 1; {user}
            events {{ worker_connections 256; }}
            http {{
              access_log off; sendfile on; tcp_nopush on;
              keepalive_requests 1000000000; default_type application/octet-stream;
              client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
              uwsgi_temp_path tmp; scgi_temp_path tmp;
              server {{
                listen 127.0.0.1:{self.port}{" ssl" if tls else ""}; root {self.root};
                {lines}
              }}
            }}
            """)

    def blob_target(self, repository: str, digest: str) -> str:
        """Where a blob is read."""
        return f"/{digest.partition(':')[2]}"


def installed(contestant: type[Contestant]) -> bool:
    """Whether this server can be started on this machine."""
    probes: Mapping[type[Contestant], Callable[[], bool]] = {
        Moorage: lambda: _works([*MOORAGE_COMMAND, "--help"]),
        Distribution: lambda: shutil.which(DISTRIBUTION_COMMAND[0]) is not None,
        Nginx: lambda: shutil.which("nginx") is not None,
    }
    return probes[contestant]()


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def registry_config(contestant: Contestant, extra: Mapping[str, str]) -> str:
    """The keys both registries know, and a few of one alone; values are YAML scalars."""
    setup = contestant.setup
    keys = {
        "version": "0.1",
        "log.level": "info" if setup.request_log else "error",
        "log.accesslog.disabled": "false" if setup.request_log else "true",
        "storage.filesystem.rootdirectory": str(contestant.root),
        "storage.delete.enabled": "true",
        "http.addr": f"127.0.0.1:{contestant.port}",
        **extra,
    }
    if setup.tls is not None:
        keys["http.tls.certificate"] = str(setup.tls.certificate)
        keys["http.tls.key"] = str(setup.tls.key)
    if setup.htpasswd:
        keys["auth.htpasswd.realm"] = "bench"
        keys["auth.htpasswd.path"] = str(contestant.folder / "htpasswd")
    return _yaml(keys)


def _yaml(keys: Mapping[str, str]) -> str:
    """Dotted keys as nested YAML; keys of one section need not stand together."""
    tree: dict[str, object] = {}
    for dotted, value in keys.items():
        *sections, leaf = dotted.split(".")
        place = tree
        for section in sections:
            below = place.setdefault(section, {})
            assert isinstance(below, dict)
            place = below
        place[leaf] = value
    return "".join(_yaml_lines(tree, 0))


def _yaml_lines(tree: Mapping[str, object], depth: int) -> list[str]:
    lines = []
    for key, value in tree.items():
        indent = "  " * depth
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:\n")
            lines.extend(_yaml_lines(value, depth + 1))
        else:
            lines.append(f"{indent}{key}: {value}\n")
    return lines
