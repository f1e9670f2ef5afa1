# SPDX-License-Identifier: Apache-2.0
"""nginx and haproxy with the examples of deploy/, on ports and in a folder of the test's own.

What is replaced in an example is only what belongs to a machine: addresses, ports, certificates.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_SECONDS = 20.0
NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 512; }}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{text}
}}
"""


def nginx_command(text: str, folder: Path) -> list[str]:
    """The command that serves with a `conf.d` file of this text."""
    program = need("nginx", "nginx-light")
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, text=text))
    return [program, "-p", str(folder), "-e", str(folder / "nginx-error.log"), "-c", str(file)]


def check_nginx(text: str, folder: Path) -> None:
    """Have nginx read the configuration; it has nothing to remark."""
    command = [*nginx_command(text, folder), "-t"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert not re.search(r"\[(warn|error|emerg)\]", done.stderr), done.stderr


def haproxy_command(text: str, folder: Path) -> list[str]:
    """The command that serves with this configuration."""
    program = need("haproxy", "haproxy")
    file = folder / "haproxy.cfg"
    file.write_text(text)
    return [program, "-db", "-f", str(file)]


def check_haproxy(text: str, folder: Path) -> None:
    """Have haproxy read the configuration; it has nothing to remark."""
    command = [*haproxy_command(text, folder), "-c"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


@contextlib.contextmanager
def serving(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """Run a proxy while the block runs."""
    with (folder / "proxy.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, (folder / "proxy.log").read_text()
            assert time.monotonic() < deadline, "the proxy does not listen"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)
