# SPDX-License-Identifier: Apache-2.0
"""Lists that are given out in pages: `n`, `last`, and a Link to the next page when there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from moorage.http.replies import BytesReply
from moorage.spec.pagination import next_link, parse_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moorage.http.replies import Reply
    from moorage.http.request import Request
    from moorage.spec.pagination import Page


def requested_page(request: Request, largest: int, *, default: int) -> tuple[Page, int]:
    """What the query asks for, and how many entries that makes.

    Raises:
        PaginationNumberInvalid: `n` is no number.
    """
    page = parse_page(request.query_value("n"), request.query_value("last"), maximum=largest)
    return page, default if page.limit is None else page.limit


def page_reply(
    path: str, head: Mapping[str, str], name: str, entries: list[str], limit: int
) -> Reply:
    """The first `limit` entries as JSON; one more among them means that there is a next page."""
    headers = []
    if len(entries) > limit:
        del entries[limit:]
        # "n=0 → an empty list with no Link": nothing would tell the client where to go on.
        if entries:
            link = next_link(path, limit, entries[-1])
            headers.append((b"link", link.encode("ascii")))
    body = msgspec.json.encode({**head, name: entries})
    return BytesReply(200, body, b"application/json", headers)
