# SPDX-License-Identifier: Apache-2.0
"""The key of a deployment's tokens, kept in a file that all its processes share.

Invariant: whoever starts first makes the key, everybody gets the same one, and only the owner of
the process may read it. A lost file costs nobody more than a new token.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from moorage.access.tokens import MIN_KEY_BYTES

if TYPE_CHECKING:
    from pathlib import Path


def load_or_create_key(path: Path) -> bytes:
    """The key in the file; a random one is written there first where the file is missing."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = _create(path)
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"{path} is no token key; remove it, and the next start makes a new one")
    return key


def _create(path: Path) -> bytes:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(MIN_KEY_BYTES))
            file.flush()
            os.fsync(descriptor)
        # A link, because unlike a rename it fails where another process was faster.
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_bytes()
