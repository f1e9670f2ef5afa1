# SPDX-License-Identifier: Apache-2.0
"""Lists: a page of the catalogue, and every tag of a repository with as many pages as it takes.

Distribution 2.8 sends all tags in one reply and Moorage at most `tags.maxtags` a page, so a list
counts as read when the last page has no further link.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.wire import Connection, UnexpectedReplyError

if TYPE_CHECKING:
    from bench.contestants import Contestant
    from bench.load import Sample


def read_list(contestant: Contestant, target: str, entries: int, seconds: float) -> Sample:
    """Read a whole list again and again on one connection; seconds and CPU for one list."""
    with contestant.connect() as connection:
        if (found := _entries(connection, target)) != entries:
            raise UnexpectedReplyError(
                f"{contestant.title} {target}: {found} entries, not {entries}"
            )
        before, started, times = contestant.cpu(), time.perf_counter(), 0
        while time.perf_counter() < started + seconds or times < 3:
            _entries(connection, target)
            times += 1
        elapsed = time.perf_counter() - started
    return {"seconds": elapsed / times, "cpu": (contestant.cpu() - before) / times}


def _entries(connection: Connection, target: str) -> int:
    """How many quoted names a list holds, over all its pages."""
    names, following = 0, target
    while following:
        reply = connection.request("GET", following).expect(200)
        names += reply.body.count(b'"', reply.body.index(b"[")) // 2
        following = ""
        # A page that was asked for with a number is a page; a list is read to its end.
        if "n=" not in target and (link := reply.headers.get("link")):
            parts = urlsplit(link[link.index("<") + 1 : link.index(">")])
            following = f"{parts.path}?{parts.query}"
    return names
