# SPDX-License-Identifier: Apache-2.0
"""`GET /v2/`: the question whether this is a registry, and whether the credentials are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.http.replies import BytesReply

if TYPE_CHECKING:
    from moorage.distribution.registry import Call, Registry
    from moorage.http.replies import Reply


async def ping(_registry: Registry, _call: Call) -> Reply:
    """Yes (end-1)."""
    return BytesReply(200, b"{}", b"application/json")
