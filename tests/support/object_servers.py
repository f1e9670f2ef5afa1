# SPDX-License-Identifier: Apache-2.0
"""Object stores of the test's own: real servers on loopback, their data in a temporary folder.

`s3_server`, `azure_server` and `gcs_server` (tests/conftest.py) hand them out. A test asks for a
fresh bucket and gets it as the `storage` section of a configuration or as a client for looking
inside. A server may be killed and restarted; what it had acknowledged is still there, except with
moto, which keeps everything in memory and says so (`durable`). CONTRIBUTING.md has the differences.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from abc import ABC, abstractmethod
from datetime import timedelta
from email.utils import formatdate
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from tests.support.registry import free_port
from tests.support.tools import find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from obstore.store import AzureStore, GCSStore, S3Store

Kind = Literal["s3", "azure", "gcs"]
Section = dict[str, object]

START_SECONDS = 60.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 30.0
ACCESS_KEY = "moorage-tests"
SECRET_KEY = "moorage-tests-secret"
REGION = "us-east-1"


class ObjectServer(ABC):
    """One server process and its folder. The address stays the same over restarts."""

    kind: ClassVar[Kind]
    durable: bool = True
    """Whether what was stored survives `kill`."""
    verifies: bool = True
    """Whether signatures, and how long they hold, are checked."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.program = program
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Program and version, for the summary of the run."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What starts the server on `port` with its data below `folder`."""

    @abstractmethod
    def create(self, bucket: str) -> None:
        """Make an empty bucket."""

    @abstractmethod
    def section(self, bucket: str, endpoint: str) -> Section:
        """The `storage` section for a bucket behind this address."""

    @abstractmethod
    def client(self, bucket: str) -> S3Store | AzureStore | GCSStore:
        """A client of the library that the program uses, to look inside a bucket."""

    @property
    def endpoint(self) -> str:
        """Where the server listens, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What the process gets beside the environment of the run."""
        return {}

    @property
    def log(self) -> str:
        """Everything the process has printed so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"moorage-{uuid.uuid4().hex[:16]}"
        self.create(name)
        return name

    def settings(self, bucket: str | None = None, *, endpoint: str | None = None) -> Section:
        """The `storage` section for a bucket, a new one unless named.

        `endpoint` is another address that leads here, for example that of an ObjectProxy.
        """
        return self.section(bucket or self.bucket(), endpoint or self.endpoint)

    def start(self) -> Self:
        """Start the process and wait until it accepts connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                message = f"{self.name} ended with {self.process.returncode}:\n{self.log}"
                raise RuntimeError(message)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            time.sleep(0.02)
        self.kill()
        message = f"{self.name} did not listen within {START_SECONDS} s:\n{self.log}"
        raise RuntimeError(message)

    def kill(self) -> None:
        """End the process at once, as a power cut would; the data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start the process again, on the same port with the same data."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End the process in its own way, or at once when it takes too long."""
        self._end(signal.SIGTERM)
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process = self.process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class S3Server(ObjectServer):
    """What both S3 servers share: the keys, the client, and how a bucket is made."""

    kind = "s3"

    def section(self, bucket: str, endpoint: str) -> Section:
        return {
            "s3": {
                "bucket": bucket,
                "region": REGION,
                "regionendpoint": endpoint,
                "forcepathstyle": True,
                "accesskey": ACCESS_KEY,
                "secretkey": SECRET_KEY,
            }
        }

    def client(self, bucket: str) -> S3Store:
        from obstore.store import S3Store

        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def create(self, bucket: str) -> None:
        import obstore

        # obstore makes no buckets, but the address of one is that of its empty key.
        address = obstore.sign(self.client(bucket), "PUT", "", timedelta(minutes=1))
        ask("PUT", address)


class Versitygw(S3Server):
    """Versity's S3 gateway over a folder: a server that people run in production."""

    MODULE = "github.com/versity/versitygw"

    @property
    def name(self) -> str:
        return f"versitygw {go_version(self.program, self.MODULE)}"

    @property
    def environment(self) -> Mapping[str, str]:
        return {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}

    def command(self) -> Sequence[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        metadata = []
        if not keeps_attributes(data):
            sidecar = self.folder / "metadata"
            sidecar.mkdir(exist_ok=True)
            metadata = ["--sidecar", str(sidecar)]
        listen = ["--port", f"127.0.0.1:{self.port}", "--region", REGION]
        options = [*listen, "--quiet", "--keep-alive"]
        return [self.program, *options, "posix", *metadata, str(data)]


class Moto(S3Server):
    """An imitation of S3 in memory, for machines where no real server could be built."""

    durable = False
    verifies = False

    @property
    def name(self) -> str:
        return f"moto {version('moto')} (an imitation: versitygw is not installed)"

    def command(self) -> Sequence[str]:
        return [self.program, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]


class Azurite(ObjectServer):
    """Microsoft's own emulator of Azure Blob Storage. It checks keys, signatures and expiry."""

    kind = "azure"
    ACCOUNT = "mooragetests"
    KEY = base64.b64encode(hashlib.sha512(SECRET_KEY.encode()).digest()).decode()

    @property
    def name(self) -> str:
        printed = subprocess.check_output([self.program, "--version"], text=True)
        return f"azurite {printed.strip()}"

    @property
    def environment(self) -> Mapping[str, str]:
        return {"AZURITE_ACCOUNTS": f"{self.ACCOUNT}:{self.KEY}"}

    def command(self) -> Sequence[str]:
        listen = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        quiet = ["--silent", "--disableTelemetry"]
        return [self.program, *listen, *quiet, "--location", str(self.folder / "data")]

    def kill(self) -> None:
        """End the process in its own way: it writes its catalogue down only every few seconds."""
        self.stop()

    def section(self, bucket: str, endpoint: str) -> Section:
        return {
            "azure": {
                "accountname": self.ACCOUNT,
                "accountkey": self.KEY,
                "container": bucket,
                "serviceurl": f"{endpoint}/{self.ACCOUNT}",
            }
        }

    def client(self, bucket: str) -> AzureStore:
        from obstore.store import AzureStore

        return AzureStore(
            bucket,
            account_name=self.ACCOUNT,
            account_key=self.KEY,
            endpoint=f"{self.endpoint}/{self.ACCOUNT}",
            client_options={"allow_http": True},
        )

    def create(self, bucket: str) -> None:
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        # The method, eleven headers that are not sent, those above, the path and the query.
        lines = ["PUT", *[""] * 11, *[f"{name}:{value}" for name, value in headers.items()]]
        signed = "\n".join(
            [*lines, f"/{self.ACCOUNT}/{self.ACCOUNT}/{bucket}", "restype:container"]
        )
        digest = hmac.digest(base64.b64decode(self.KEY), signed.encode(), "sha256")
        signature = base64.b64encode(digest).decode()
        headers["Authorization"] = f"SharedKey {self.ACCOUNT}:{signature}"
        ask("PUT", f"{self.endpoint}/{self.ACCOUNT}/{bucket}?restype=container", headers)


def ask(method: str, address: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Send a request without a body; anything but success is an error."""
    request = urllib.request.Request(address, method=method, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        body: bytes = answer.read()
    return body


@functools.cache
def go_version(program: str, module: str) -> str:
    """The version of a Go program, from what the compiler wrote into it."""
    pattern = rb"mod\t" + re.escape(module.encode()) + rb"\t(v[0-9][^\t\n]*)"
    found = re.search(pattern, Path(program).read_bytes())
    return found[1].decode() if found else "of an unknown version"


def keeps_attributes(folder: Path) -> bool:
    """Whether files below this folder may have extended attributes."""
    try:
        os.setxattr(folder, "user.moorage", b"test")
        os.removexattr(folder, "user.moorage")
    except OSError:
        return False
    return True


def object_server(kind: Kind, folder: Path) -> ObjectServer | str:
    """The best server of a kind that is installed, not yet started, or why there is none."""
    if kind == "azure":
        program = find("azurite-blob")
        if program is not None and find("node") is not None:
            return Azurite(folder, program)
        return "azurite is not installed (scripts/install-servers, which needs npm)"
    server: S3Server
    program = find("versitygw")
    if program is not None:
        server = Versitygw(folder, program)
    elif find_spec("moto") is not None and find_spec("flask") is not None:
        server = Moto(folder, sys.executable)
    else:
        return "neither versitygw nor moto[server] is installed (scripts/install-servers)"
    if kind == "s3":
        return server
    from tests.support.google_storage import GoogleStorage

    return GoogleStorage(server)
