# SPDX-License-Identifier: Apache-2.0
"""The program's own store on a server of the tests, built from a settings file as `serve` does."""

from __future__ import annotations

import urllib.error
import urllib.request
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import yaml

from moorage.ground import build_store
from moorage.settings import load
from moorage.storage.objects import ObjectStore
from tests.support.object_servers import ACCESS_KEY, REGION, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.object_servers import ObjectServer

RETRY = "1s"


def store_of(
    section: Mapping[str, object],
    folder: Path,
    *,
    redirect: Mapping[str, object] | None = None,
    uploadmemory: str = "256MiB",
    settings: Mapping[str, object] | None = None,
) -> ObjectStore:
    """The store of a `storage` section; `settings` go into the section of its kind."""
    storage: dict[str, object] = {}
    for kind, given in section.items():
        assert isinstance(given, dict)
        storage[kind] = {"retrytimeout": RETRY, **given, **(settings or {})}
    if redirect is not None:
        storage["redirect"] = dict(redirect)
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump({"storage": storage, "limits": {"uploadmemory": uploadmemory}}))
    store = build_store(load(path, {}).settings)
    assert isinstance(store, ObjectStore)
    return store


def unfinished_parts(server: ObjectServer, bucket: str) -> list[str]:
    """Keys of uploads in parts that were begun and neither finished nor dropped; S3 tells them."""
    if server.kind != "s3" or find_spec("boto3") is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import boto3  # type: ignore[import-untyped]

        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        answer = client.list_multipart_uploads(Bucket=bucket)
        client.close()
    return [upload["Key"] for upload in answer.get("Uploads", [])]


def fetch(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """What a client without credentials gets."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
