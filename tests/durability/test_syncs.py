# SPDX-License-Identifier: Apache-2.0
"""What a push asks of the disk: few syncs, in the right order, shared by those who push together.

Counted with strace, after a first push that finds everything warm. Bytes are durable before the
catalogue knows of them, and the catalogue's entry before the client hears of it.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from moorage.storage.directories import RENAME_IS_SYNCED, filesystem_of
from tests.durability.tracing import traced
from tests.support.images import (
    open_upload,
    push_blob,
    push_image,
    random_blob,
    random_image,
    with_digest,
)
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.durability.tracing import Call, TracedRegistry
    from tests.support.images import Content

SLOW_SYNCS = ("-e", "inject=fdatasync:delay_exit=30000")


def need_synced_renames(folder: Path) -> None:
    """Skip where the fsync of a renamed file does not make its new name durable."""
    found = filesystem_of(folder)
    if found not in RENAME_IS_SYNCED:
        pytest.skip(f"{folder} is on {found}, where folders are synced for each blob")


def only(calls: Sequence[Call], wanted: Callable[[Call], bool]) -> Call:
    """The one call of this kind."""
    found = [call for call in calls if wanted(call)]
    assert len(found) == 1, found
    return found[0]


def at_once(wire: Wire, blob: Content) -> None:
    """POST, then PUT with all bytes."""
    push_blob(wire, "syncs/a", blob)


def posted(wire: Wire, blob: Content) -> None:
    """One POST."""
    answer = wire.post(with_digest("/v2/syncs/a/blobs/uploads/", blob.digest), body=blob.payload)
    assert answer.status == 201, answer


def streamed(wire: Wire, blob: Content) -> None:
    """POST, PATCH of unknown length, empty PUT."""
    location = open_upload(wire, "syncs/a")
    assert wire.patch(location, body=blob.payload, chunked=True).status == 202
    assert wire.put(with_digest(location, blob.digest)).status == 201


@pytest.mark.parametrize("push", [at_once, posted, streamed])
def test_a_blob_costs_two_syncs_in_order(
    tmp_path: Path, push: Callable[[Wire, Content], None]
) -> None:
    """The file gets its name, then its data is synced, then the catalogue's log, then the reply."""
    need_synced_renames(tmp_path)
    with traced(tmp_path, {}) as registry, Wire(registry.url) as wire:
        push(wire, random_blob())
        with registry.watching(replies=1) as calls:
            push(wire, random_blob(300_000))

    rename = only(calls, lambda call: call.is_rename)
    data = only(calls, lambda call: call.is_sync and "/blobs/sha256/" in call.path)
    log = only(calls, lambda call: call.is_sync and call.path.endswith("-wal"))
    reply = only(calls, lambda call: call.is_reply(201))
    assert [call for call in calls if call.is_sync] == [data, log]
    for earlier, later in pairwise((rename, data, log, reply)):
        assert earlier.before(later), (earlier, later)


def test_folders_are_synced_only_at_start(tmp_path: Path) -> None:
    """Once the first request is answered no folder is synced any more."""
    need_synced_renames(tmp_path)
    with traced(tmp_path, {}) as registry, Wire(registry.url) as wire:
        assert wire.get("/readyz").status == 200
        with registry.watching(replies=5) as later:
            push_image(wire, "syncs/a", random_image(layers=3), "latest")
        folders = [call for call in registry.calls() if call.is_sync and is_folder(call)]

    assert folders, "the folders made at start are durable"
    assert not [call for call in later if call.is_sync and is_folder(call)]


def is_folder(call: Call) -> bool:
    """Whether a call is about a folder: files of the registry have a dot in their names."""
    return "." not in call.path.rpartition("/")[2]


def test_folders_are_synced_for_each_blob_where_asked_for(tmp_path: Path) -> None:
    """With `syncdirectories: always` the folder is synced between rename and reply."""
    config = {"storage": {"filesystem": {"syncdirectories": "always"}}}
    with traced(tmp_path, config) as registry, Wire(registry.url) as wire:
        push_blob(wire, "syncs/a", random_blob())
        with registry.watching(replies=1) as calls:
            push_blob(wire, "syncs/a", random_blob())

    rename = only(calls, lambda call: call.is_rename)
    folder = only(calls, lambda call: call.is_sync and is_folder(call))
    reply = only(calls, lambda call: call.is_reply(201))
    assert rename.before(folder)
    assert folder.before(reply)


def test_an_image_costs_two_syncs_a_blob_and_one_for_its_manifest(tmp_path: Path) -> None:
    """Config and three layers: four syncs of data, and one of the log for each of five commits."""
    need_synced_renames(tmp_path)
    with traced(tmp_path, {}) as registry, Wire(registry.url) as wire:
        push_image(wire, "syncs/a", random_image(layers=3), "latest")
        with registry.watching(replies=5) as calls:
            push_image(wire, "syncs/a", random_image(layers=3), "latest")

    syncs = [call for call in calls if call.is_sync]
    assert len([call for call in syncs if "/blobs/sha256/" in call.path]) == 4
    assert len([call for call in syncs if call.path.endswith("-wal")]) == 5
    assert len(syncs) == 9


def test_known_content_costs_only_the_log(tmp_path: Path) -> None:
    """A blob that another repository has already needs no sync of its data."""
    need_synced_renames(tmp_path)
    blob = random_blob()
    with traced(tmp_path, {}) as registry, Wire(registry.url) as wire:
        push_blob(wire, "syncs/a", blob)
        with registry.watching(replies=1) as calls:
            push_blob(wire, "syncs/b", blob)

    assert only(calls, lambda call: call.is_sync).path.endswith("-wal")


def test_those_who_push_together_share_syncs(tmp_path: Path) -> None:
    """Many commits at once need fewer syncs of the log than there are commits."""
    clients, images = 8, 3
    with traced(tmp_path, {}, *SLOW_SYNCS) as registry:
        with Wire(registry.url) as wire:
            push_blob(wire, "syncs/a", random_blob())
        with registry.watching(replies=clients * images * 3) as calls:
            push_together(registry, clients, images)

    commits = len([call for call in calls if call.is_reply(201)])
    logs = [call for call in calls if call.is_sync and call.path.endswith("-wal")]
    assert commits == clients * images * 3
    assert 0 < len(logs) <= commits / 2


def push_together(registry: TracedRegistry, clients: int, images: int) -> None:
    """Let several clients push small images (two blobs and a manifest each) at the same time."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with Wire(registry.url) as wire:
                for _ in range(images):
                    push_image(wire, f"syncs/client-{number}", random_image(), "latest")
        except BaseException as failure:  # noqa: BLE001 (the test raises it)
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
