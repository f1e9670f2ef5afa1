# SPDX-License-Identifier: Apache-2.0
"""The key file of the tokens."""

from __future__ import annotations

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from moorage.access.signing_key import (
    key_from_database,
    key_from_secret,
    load_or_create_key,
)
from moorage.access.tokens import MIN_KEY_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.engines import Engine


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """The first start makes a private key file, the next ones read it."""
    path = tmp_path / "key"
    key = load_or_create_key(path)

    assert len(key) == 32
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_all_who_start_together_get_the_same_key(tmp_path: Path) -> None:
    """Of many processes that find no key, one makes it and all use it."""
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(load_or_create_key, [tmp_path / "key"] * 32))

    assert len(keys) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_a_damaged_key_is_an_error(tmp_path: Path) -> None:
    """A truncated file is reported with the way out, not used."""
    path = tmp_path / "key"
    path.write_bytes(b"short")

    with pytest.raises(ValueError, match="remove it"):
        load_or_create_key(path)


def test_a_secret_gives_everybody_the_same_key() -> None:
    """Who knows the secret has the key, and from the key nobody learns the secret."""
    secret = "what all replicas know"

    assert key_from_secret(secret) == key_from_secret(secret)
    assert len(key_from_secret(secret)) == MIN_KEY_BYTES
    assert key_from_secret(secret) != key_from_secret(secret + "!")


def test_who_shares_a_database_shares_the_key(tmp_path: Path, engine: Engine) -> None:
    """Those who ask at once for the first time get the same key, and so does who asks later."""

    async def ask() -> None:
        databases = [engine.database(tmp_path) for _ in range(4)]
        for database in databases:
            await database.start()
        keys = await asyncio.gather(*(key_from_database(each) for each in databases))
        keys.append(await key_from_database(databases[0]))
        for database in databases:
            await database.close()
        assert len(set(keys)) == 1
        assert len(keys[0]) == MIN_KEY_BYTES

    asyncio.run(ask())
