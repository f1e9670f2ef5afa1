# SPDX-License-Identifier: Apache-2.0
"""The key file of the tokens."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from moorage.access.signing_key import load_or_create_key

if TYPE_CHECKING:
    from pathlib import Path


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
