# SPDX-License-Identifier: Apache-2.0
"""A real pgbouncer in transaction mode before a PostgreSQL server of the test run's own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.postgres import PASSWORD, SUPERUSER
from tests.support.registry import free_port
from tests.support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import PostgresServer

# Few connections for many clients, so that statements of one client meet different servers.
CONFIG = """\
[databases]
* = host=127.0.0.1 port={server} user={user} password='{password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
"""


@contextlib.contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[int]:
    """The port of a running pgbouncer; a skip where it is not installed."""
    program = need("pgbouncer", "pgbouncer")
    port = free_port()
    config = server.folder / f"pgbouncer-{port}.ini"
    config.write_text(
        CONFIG.format(server=server.port, user=SUPERUSER, password=PASSWORD, port=port)
    )
    user = SUPERUSER if os.geteuid() == 0 else None
    with (server.folder / "pgbouncer.log").open("ab") as log:
        process = subprocess.Popen(
            [program, config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user,
            group=user,
            cwd=server.folder,
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, (server.folder / "pgbouncer.log").read_text()
            assert time.monotonic() < deadline, "pgbouncer does not listen"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()
