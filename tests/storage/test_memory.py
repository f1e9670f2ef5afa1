# SPDX-License-Identifier: Apache-2.0
"""The store in memory keeps the contract."""

from __future__ import annotations

from moorage.storage.memory import MemoryStore
from tests.storage.contract import AppendableStoreContract


class TestMemoryStore(AppendableStoreContract):
    """The contract, in memory."""

    def make(self) -> MemoryStore:
        """A new store."""
        return MemoryStore()
