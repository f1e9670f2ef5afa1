# SPDX-License-Identifier: Apache-2.0
"""A token that one replica has given out is a token for all of them, also after restarts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import bcrypt
import pytest

from tests.support.cluster import SECRET, Cluster
from tests.support.grounds import FILES, SERVERS, ground
from tests.support.images import manifest_path, push_image, random_image
from tests.support.wire import Wire, basic_auth

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "tokens/app"


@pytest.mark.parametrize(
    ("name", "secrets"),
    [(FILES, [None]), (SERVERS, [None, SECRET])],
    ids=["key in the folder", "key in the database, and http.secret"],
)
def test_tokens_are_everybodys(tmp_path: Path, name: str, secrets: list[str | None]) -> None:
    """What A signs is good on B and C, wherever the key comes from; a new start changes nothing."""
    users = tmp_path / "htpasswd"
    users.write_text(f"ada:{bcrypt.hashpw(b'password', bcrypt.gensalt(4)).decode()}\n")
    config = {"auth": {"htpasswd": {"path": str(users)}, "anonymous": "pull"}}
    with ground(name, tmp_path / "ground") as shared:
        for number, secret in enumerate(secrets):
            folder = tmp_path / f"cluster-{number}"
            with Cluster(folder, shared, config, secret=secret) as cluster:
                assert_shared(cluster)


def assert_shared(cluster: Cluster) -> None:
    """The first replica's token opens the others, one of them after a restart."""
    image = random_image()
    target = manifest_path(REPOSITORY, "v1")
    with Wire(f"http://{cluster.host}", [basic_auth("ada", "password")]) as wire:
        push_image(wire, REPOSITORY, image, "v1")
    with Wire(cluster.urls[0]) as wire:
        assert wire.get(target).status == 401
        given = wire.get(f"/token?service=moorage&scope=repository:{REPOSITORY}:pull")
        assert given.status == 200, given
    bearer = ("Authorization", f"Bearer {json.loads(given.body)['token']}")
    for url in cluster.urls:
        with Wire(url, [bearer]) as wire:
            assert wire.get(target).body == image.manifest.payload
    assert cluster.replicas[1].stop() == 0
    cluster.replicas[1].start()
    with Wire(cluster.urls[1], [bearer]) as wire:
        assert wire.get(target).body == image.manifest.payload
