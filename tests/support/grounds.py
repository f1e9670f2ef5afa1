# SPDX-License-Identifier: Apache-2.0
"""The grounds that replicas can stand on, by name, each made empty for whoever asks.

`sqlite+filesystem` is one file and one folder; `postgres+s3` is a PostgreSQL server of the test's
own and a bucket behind a proxy, so that both can be made to fail. What is not installed is a skip.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import Ground
from tests.support.object_proxy import ObjectProxy
from tests.support.object_servers import object_server
from tests.support.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = "sqlite+filesystem"
SERVERS = "postgres+s3"
GROUNDS = (FILES, SERVERS)


@contextmanager
def ground(name: str, folder: Path) -> Iterator[Ground]:
    """An empty ground with everything that it needs running."""
    assert name in GROUNDS
    if name == FILES:
        yield files(folder)
        return
    with ExitStack() as stack:
        yield servers(stack, folder)


def files(folder: Path) -> Ground:
    """One SQLite file and one folder, for replicas on one machine."""
    return Ground(FILES, {"storage": {"filesystem": {"rootdirectory": str(folder)}}})


def servers(stack: ExitStack, folder: Path) -> Ground:
    """A PostgreSQL database without a schema, and an empty bucket."""
    objects = object_server("s3", folder)
    if isinstance(objects, str):
        pytest.skip(objects)
    database = PostgresServer.make()
    stack.callback(database.remove)
    stack.enter_context(objects)
    proxy = stack.enter_context(ObjectProxy(objects))
    settings = {
        **database.config(database.new_database(template="template1")),
        # The bytes come through the replicas, as they do from a folder.
        "storage": {**objects.settings(endpoint=proxy.endpoint), "redirect": {"disable": True}},
    }
    return Ground(SERVERS, settings, database, proxy)
