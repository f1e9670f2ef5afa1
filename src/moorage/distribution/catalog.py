# SPDX-License-Identifier: Apache-2.0
"""The names of all repositories that the principal may pull from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.distribution.paging import page_reply, requested_page
from moorage.spec.names import RepositoryName

if TYPE_CHECKING:
    from moorage.distribution.registry import Call, Registry
    from moorage.http.replies import Reply

# What distribution gives to clients that name no number.
DEFAULT_PAGE = 100


async def list_repositories(registry: Registry, call: Call) -> Reply:
    """One page of them."""
    largest = registry.bounds.repositories_per_page
    page, limit = requested_page(call.request, largest, default=min(DEFAULT_PAGE, largest))

    names = await _readable(registry, call, page.last or "", limit + 1)

    return page_reply(f"{registry.base}/v2/_catalog", {}, "repositories", names, limit)


async def _readable(registry: Registry, call: Call, after: str, wanted: int) -> list[str]:
    """So many names as are wanted, leaving out what the principal may not pull."""
    found: list[str] = []
    while len(found) < wanted:
        names = await registry.content.repositories.page(after, wanted)
        found += [
            name for name in names if registry.access.sees(call.principal, RepositoryName(name))
        ]
        if len(names) < wanted:
            break
        after = names[-1]
    return found[:wanted]
