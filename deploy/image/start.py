# SPDX-License-Identifier: Apache-2.0
"""What the image starts: the words that registry:2's image understands, turned into ours.

A file alone, or nothing, means `serve`; a word that is no command of the registry is a program, as
in `docker run IMAGE sh`. Also the image's health check, which asks the registry under the settings
that the image's first process was started with. Nothing here is imported by the registry.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import sys
from pathlib import Path

from moorage.cli.main import COMMANDS, main
from moorage.settings import Settings, SettingsError, load, parse_address
from moorage.settings.environment import CONFIGURATION_PATH

# Ours first; then those of registry:3 and registry:2, one of which may be mounted from outside.
CONFIGURATIONS = (
    Path("/etc/moorage/config.yml"),
    Path("/etc/distribution/config.yml"),
    Path("/etc/docker/registry/config.yml"),
)
ENDINGS = (".yml", ".yaml")
FIRST_PROCESS = Path("/proc/1/cmdline")
SECONDS = 4.0  # below the health check's own limit


def complete(arguments: list[str]) -> list[str]:
    """The arguments of `moorage` that these mean."""
    if not arguments or arguments[0].endswith(ENDINGS):
        arguments = ["serve", *arguments]
    if arguments[0] == "serve" and not any(each.endswith(ENDINGS) for each in arguments):
        return [*arguments, *default_configuration()]
    return arguments


def default_configuration() -> list[str]:
    """The file that is used when none is named; nothing when the environment names one."""
    if os.environ.get(CONFIGURATION_PATH):
        return []
    return [str(path) for path in CONFIGURATIONS if path.is_file()][:1]


def is_ours(word: str) -> bool:
    """Whether a word is for the registry and not a program's name."""
    return word.startswith("-") or any(word == row.word for row in COMMANDS)


def is_healthy(settings: Settings) -> bool:
    """Whether the registry answers on the address that it listens on."""
    connection = connect(settings)
    try:
        connection.request("GET", f"{settings.http.prefix}/healthz")
        return connection.getresponse().status == http.client.OK
    except ssl.SSLError as error:
        # It wants to see a client's certificate and said so: it is alive.
        return settings.http.tls is not None and "CERTIFICATE_REQUIRED" in str(error)
    except OSError:
        return False
    finally:
        connection.close()


def connect(settings: Settings) -> http.client.HTTPConnection:
    """A connection to the registry in this container; whose certificate it has does not matter."""
    if settings.http.net == "unix":
        connection = http.client.HTTPConnection("localhost", timeout=SECONDS)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(SECONDS)
        connection.sock.connect(settings.http.addr)
        return connection
    host, port = parse_address(settings.http.addr)
    here = host if host not in {"", "0.0.0.0", "::"} else "localhost"  # noqa: S104
    if settings.http.tls is None:
        return http.client.HTTPConnection(here, port, timeout=SECONDS)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(here, port, timeout=SECONDS, context=context)


def healthcheck() -> int:
    """The exit code of the health check."""
    words = FIRST_PROCESS.read_bytes().decode(errors="replace").split("\0")
    named = [word for word in words if word.endswith(ENDINGS)] or default_configuration()
    try:
        settings = load(Path(named[-1]) if named else None, os.environ).settings
        return 0 if is_healthy(settings) else 1
    except (OSError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def start(arguments: list[str]) -> None:
    """Become what the arguments say."""
    if arguments == ["healthcheck"]:
        sys.exit(healthcheck())
    arguments = complete(arguments)
    program = None if is_ours(arguments[0]) else shutil.which(arguments[0])
    if program is not None and Path(program).name not in {"moorage", "registry"}:
        os.execv(program, arguments)  # noqa: S606
    sys.argv = ["moorage", *(arguments if program is None else complete(arguments[1:]))]
    main()


if __name__ == "__main__":
    start(sys.argv[1:])
