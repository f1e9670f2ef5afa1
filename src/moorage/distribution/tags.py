# SPDX-License-Identifier: Apache-2.0
"""The tags of a repository, in the order of their bytes (end-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.distribution.paging import page_reply, requested_page
from moorage.spec.errors import NameUnknown

if TYPE_CHECKING:
    from moorage.distribution.registry import Call, Registry
    from moorage.http.replies import Reply


async def list_tags(registry: Registry, call: Call) -> Reply:
    """One page of them, or as many as fit into the largest page."""
    largest = registry.bounds.tags_per_page
    page, limit = requested_page(call.request, largest, default=largest)

    content = registry.content
    tags = await content.tags.page(call.repository, page.last or "", limit + 1)
    if not tags and not await content.repositories.exists(call.repository):
        raise NameUnknown(detail={"name": call.repository})

    path = f"{registry.base}/v2/{call.repository}/tags/list"
    return page_reply(path, {"name": call.repository}, "tags", tags, limit)
