# SPDX-License-Identifier: Apache-2.0
"""The new OCI suite's rows outside blobs and data sets: ping, empty repository, manifest errors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.conformance.data_sets import build
from tests.conformance.verbs import ALGORITHMS, assert_error, manifests_of
from tests.support.images import digest_of

if TYPE_CHECKING:
    from tests.conformance.verbs import Repository
    from tests.support.wire import Wire

both_algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)

# Not one of them is a digest of its algorithm; the suite itself tries the first.
BAD_DIGESTS = [
    "sha256:baddigeststring",
    "sha256:",
    "sha256:" + "a" * 63,
    "sha256:" + "A" * 64,
    "sha512:" + "a" * 64,
    "md5:" + "a" * 32,
    "sha256:sha256:" + "a" * 64,
]


def test_ping(wire: Wire) -> None:
    """ping: the registry says that it is one."""
    answer = wire.get("/v2/")

    assert answer.status == 200
    assert answer.json() == {}
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


def test_empty_tag_list(repository: Repository) -> None:
    """empty/tag list: a repository that nobody pushed to is unknown."""
    assert_error(repository.tags(), 404, "NAME_UNKNOWN")


@both_algorithms
def test_empty_referrers(repository: Repository, algorithm: str) -> None:
    """empty/referrers: nothing refers to what nobody pushed, not even in an unknown repository."""
    assert manifests_of(repository.referrers(digest_of(os.urandom(32), algorithm))) == []


@both_algorithms
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_missing_manifest_by_digest(repository: Repository, algorithm: str, method: str) -> None:
    """missing-manifest/by-digest: 404."""
    path = repository.manifest_path(digest_of(os.urandom(32), algorithm))

    assert repository.wire.request(method, path).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_missing_manifest_by_tag(repository: Repository, method: str) -> None:
    """missing-manifest/by-tag: 404."""
    answer = repository.wire.request(method, repository.manifest_path("missing"))

    assert answer.status == 404


@pytest.mark.parametrize("digest", BAD_DIGESTS)
def test_manifest_put_at_bad_digest(repository: Repository, digest: str) -> None:
    """invalid-digest-format/manifest-put: exactly 400."""
    data = build("image", "sha256")
    for blob in data.blobs.values():
        repository.push_blob(blob)

    assert_error(repository.put_manifest(data.manifests[0], digest), 400, "DIGEST_INVALID")
    assert_error(repository.get_manifest(data.manifests[0]), 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("digest", BAD_DIGESTS)
@pytest.mark.parametrize("kind", ["manifests", "blobs", "referrers"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_of_bad_digest(repository: Repository, digest: str, kind: str, method: str) -> None:
    """invalid-digest-format/manifest-get, and the same of blobs and referrers: 400."""
    answer = repository.wire.request(method, f"{repository.path}/{kind}/{digest}")

    if method == "GET":
        assert_error(answer, 400, "DIGEST_INVALID")
    else:
        assert answer.status == 400
