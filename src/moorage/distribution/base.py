# SPDX-License-Identifier: Apache-2.0
"""What is asked of the registry as a whole: whether it is one, and what it can do besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.http.replies import BytesReply

if TYPE_CHECKING:
    from moorage.distribution.registry import Call, Registry
    from moorage.http.replies import Reply


async def ping(_registry: Registry, _call: Call) -> Reply:
    """Whether this is a registry, and whether the credentials are right (end-1)."""
    return BytesReply(200, b"{}", b"application/json")


async def discover(_registry: Registry, _call: Call) -> Reply:
    """The extensions of the specification: none."""
    return BytesReply(200, b'{"extensions":[]}', b"application/json")
