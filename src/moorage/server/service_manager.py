# SPDX-License-Identifier: Apache-2.0
"""Telling the service manager that started us how far we are: systemd's `Type=notify`.

A manager that wants to know names a socket in NOTIFY_SOCKET; without it nothing happens. What
cannot be said is not worth a failure: the manager has its own time limits.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

ADDRESS_VARIABLE: Final = "NOTIFY_SOCKET"

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def notify(*lines: str) -> None:
    """Send assignments as sd_notify(3) does, from the process that the manager started."""
    address = os.environ.get(ADDRESS_VARIABLE, "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # unix(7): Linux's names that are no files
    elif not address.startswith("/"):
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.sendto("\n".join(lines).encode(), address)
