# SPDX-License-Identifier: Apache-2.0
"""How a client pushes and fills registries: the request sequences, without any timing.

The image sequence is Docker's (HEAD, POST, PATCH, PUT for each blob, then the manifest).
Distribution is filled with tags and repositories by writing its link files, because 25,000 pushes
to it would take a quarter of an hour; Moorage gets everything over HTTP.
"""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, TypeVar

from bench.content import INDEX_TYPE, MANIFEST_TYPE, Image, digest_of
from bench.wire import Connection, with_query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.contestants import Contestant

BLOB_HEADERS = {"Content-Type": "application/octet-stream"}
# The specification asks for at least ten tag parameters a push; Moorage's default bound is 64.
TAGS_A_REQUEST = 64

Item = TypeVar("Item")


def push_blob(connection: Connection, repository: str, data: bytes) -> str:
    """Push one blob as Docker does and return its digest."""
    digest = digest_of(data)
    target = f"/v2/{repository}/blobs/"
    if connection.request("HEAD", target + digest).status == 200:
        return digest
    started = connection.request("POST", target + "uploads/").expect(202)
    patched = connection.request("PATCH", started.location, headers=BLOB_HEADERS, body=data)
    closing = with_query(patched.expect(202).location, f"digest={digest}")
    connection.request("PUT", closing).expect(201)
    return digest


def push_manifest(
    connection: Connection, repository: str, reference: str, payload: bytes, media_type: str
) -> None:
    """Push a manifest under a tag or digest."""
    connection.request(
        "PUT",
        f"/v2/{repository}/manifests/{reference}",
        headers={"Content-Type": media_type},
        body=payload,
    ).expect(201)


def push_image(connection: Connection, repository: str, tag: str, image: Image) -> str:
    """Push a whole image and return its manifest's digest."""
    for data in (*image.layers, image.config):
        push_blob(connection, repository, data)
    payload = image.manifest()
    push_manifest(connection, repository, tag, payload, MANIFEST_TYPE)
    return digest_of(payload)


def push_tags(
    connection: Connection, repository: str, payload: bytes, media_type: str, tags: Sequence[str]
) -> None:
    """Give one manifest many tags with the specification's tag parameters."""
    target = f"/v2/{repository}/manifests/{digest_of(payload)}"
    for start in range(0, len(tags), TAGS_A_REQUEST):
        query = "&".join(f"tag={tag}" for tag in tags[start : start + TAGS_A_REQUEST])
        connection.request(
            "PUT", f"{target}?{query}", headers={"Content-Type": media_type}, body=payload
        ).expect(201)


def in_parallel(
    contestant: Contestant,
    items: Sequence[Item],
    work: Callable[[Connection, Item], None],
    clients: int = 4,
) -> None:
    """Do the work for all items with several processes, each on one connection."""

    def run(share: Sequence[Item]) -> None:
        with contestant.connect() as connection:
            for item in share:
                work(connection, item)

    context = multiprocessing.get_context("fork")
    started = [context.Process(target=run, args=(items[n::clients],)) for n in range(clients)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        raise RuntimeError(f"filling {contestant.title} failed; see the message above")


def push_repositories(contestant: Contestant, names: Sequence[str], image: Image) -> None:
    """Push the same image to many repositories, mounting its blobs from the first."""
    first, *others = names
    with contestant.connect() as connection:
        push_image(connection, first, "latest", image)
    digests = [digest_of(data) for data in (*image.layers, image.config)]
    payload = image.manifest()

    def push(connection: Connection, name: str) -> None:
        for digest in digests:
            target = f"/v2/{name}/blobs/uploads/?mount={digest}&from={first}"
            connection.request("POST", target).expect(201)
        push_manifest(connection, name, "latest", payload, MANIFEST_TYPE)

    in_parallel(contestant, others, push)


def push_indexes(contestant: Contestant, pushes: Sequence[tuple[str, bytes]]) -> None:
    """Push one index to each repository: one request for a repository with a manifest."""

    def push(connection: Connection, item: tuple[str, bytes]) -> None:
        push_manifest(connection, item[0], "latest", item[1], INDEX_TYPE)

    in_parallel(contestant, pushes, push)


def link_tags(root: Path, repository: str, manifest: str, tags: Sequence[str]) -> None:
    """Write what distribution reads from disk about the tags of a manifest it already has."""
    folder = _distribution_repository(root, repository) / "_manifests/tags"
    for tag in tags:
        current = folder / tag / "current"
        current.mkdir(parents=True, exist_ok=True)
        (current / "link").write_text(manifest)


def link_repositories(root: Path, names: Sequence[str]) -> None:
    """Write what distribution's catalogue looks for; it enters no folder that starts with _."""
    for name in names:
        for part in ("_layers", "_manifests"):
            (_distribution_repository(root, name) / part).mkdir(parents=True, exist_ok=True)


def _distribution_repository(root: Path, name: str) -> Path:
    return root / "docker/registry/v2/repositories" / name
