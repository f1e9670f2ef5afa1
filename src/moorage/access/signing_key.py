# SPDX-License-Identifier: Apache-2.0
"""The key of a deployment's tokens: from a secret, in the database, or in a file they all share.

Invariant: whoever starts first makes the key and everybody gets the same one. A lost key costs
nobody more than a new token.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from typing import TYPE_CHECKING

from moorage.access.tokens import MIN_KEY_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.db.protocol import Database, Transaction

_NAME = "tokens"
_FIND = "SELECT secret FROM signing_keys WHERE name = $1"
_KEEP = """
    INSERT INTO signing_keys (name, secret, created_at) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO NOTHING
"""


def key_from_secret(secret: str) -> bytes:
    """The key of all who know the secret, which may have other uses."""
    return hmac.digest(secret.encode(), b"moorage token key", "sha256")


async def key_from_database(database: Database) -> bytes:
    """The key of all who share the database; a random one is kept there first if there is none."""

    async def keep(transaction: Transaction) -> None:
        created_at = time.time_ns() // 1000
        await transaction.execute(_KEEP, _NAME, secrets.token_bytes(MIN_KEY_BYTES), created_at)

    row = await database.fetch_one(_FIND, _NAME)
    if row is None:
        await database.transaction(keep)
        row = await database.fetch_one(_FIND, _NAME)
        assert row is not None  # whoever was first has kept one
    key: bytes = row[0]
    return key


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
