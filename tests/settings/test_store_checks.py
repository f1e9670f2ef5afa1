# SPDX-License-Identifier: Apache-2.0
"""Rules between the store, the one before it, and the cache in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from moorage.settings import SettingsError, load, load_store
from moorage.settings.effective import as_yaml

if TYPE_CHECKING:
    from pathlib import Path

AZURE = """
storage:
  azure: {accountname: a, container: c}
  previous:
    azure: {accountname: a, container: d}
"""
DATABASE = "database: {sqlite: {path: /srv/moorage.db}}\n"


@pytest.mark.parametrize(
    ("text", "driver", "previous"),
    [
        (
            "storage: {filesystem: {rootdirectory: b}, previous: {filesystem: {rootdirectory: a}}}",
            "filesystem",
            "filesystem",
        ),
        ("storage: {s3: {bucket: b}, previous: {s3: {bucket: a}}}", "s3", "s3"),
        (
            "storage: {s3: {bucket: b, rootdirectory: x}, previous: {s3: {bucket: b}}}",
            "s3",
            "s3",
        ),
        ("storage: {gcs: {bucket: b}, previous: {s3: {bucket: b}}}", "gcs", "s3"),
        (AZURE, "azure", "azure"),
        ("storage: {s3: {bucket: b}, localcache: {rootdirectory: /c}}", "s3", None),
    ],
)
def test_stores_that_go_together(
    tmp_path: Path, text: str, driver: str, previous: str | None
) -> None:
    """A new store and an old one in different places are both there."""
    path = tmp_path / "config.yml"
    path.write_text(DATABASE + text)
    storage = load(path, {}).settings.storage

    assert (storage.driver, storage.previous.driver) == (driver, previous)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            DATABASE + "storage: {filesystem: {rootdirectory: /a}, previous: {filesystem: "
            "{rootdirectory: /a}}}",
            "the same place as storage.filesystem",
        ),
        (
            DATABASE + "storage: {s3: {bucket: a, region: eu}, previous: {s3: {bucket: a, "
            "rootdirectory: /}}}",
            "the same place as storage.s3",
        ),
        (
            DATABASE + "storage: {s3: {bucket: a}, previous: {filesystem: {rootdirectory: /a}, "
            "gcs: {bucket: a}}}",
            "storage.previous has filesystem and gcs: name one store",
        ),
        (
            "storage: {s3: {bucket: a}, previous: {filesystem: {rootdirectory: /a}}}",
            "database.sqlite.path",
        ),
        ("storage: {inmemory: , previous: {s3: {bucket: a}}}", "cannot be moved to"),
        ("storage: {localcache: {rootdirectory: /c}}", "for blobs in an object store"),
        ("storage: {s3: {bucket: a}, localcache: {size: 1GiB}}", "rootdirectory is missing"),
        (
            "storage: {s3: {bucket: a}, localcache: {rootdirectory: /c, size: 1MiB}}",
            "too little",
        ),
    ],
)
def test_stores_that_do_not(tmp_path: Path, text: str, reason: str) -> None:
    """What would lose blobs, or the catalogue, is refused with what to do."""
    path = tmp_path / "config.yml"
    path.write_text(text)

    with pytest.raises(SettingsError) as refused:
        load(path, {})
    assert reason in str(refused.value)


def test_secrets_of_the_previous_store_are_hidden(tmp_path: Path) -> None:
    """The keys of the old store are as secret as those of the new one."""
    path = tmp_path / "config.yml"
    path.write_text(
        DATABASE + "storage: {filesystem: {rootdirectory: /a}, previous: {s3: {bucket: a, "
        "accesskey: somebody, secretkey: hush-hush}}}"
    )
    loaded = load(path, {})
    shown = as_yaml(loaded)

    assert "somebody" in shown
    assert "hush-hush" not in shown


def test_the_store_of_another_registry(tmp_path: Path) -> None:
    """Of the file of a distribution only the store is read, whatever else is in it."""
    path = tmp_path / "config.yml"
    path.write_text(
        "version: 0.1\n"
        "auth: {token: {realm: x, service: y, issuer: z}}\n"
        "storage: {s3aws: {bucket: old, region: eu-west-1, multipartcopychunksize: 1}, "
        "cache: {blobdescriptor: redis}, delete: {enabled: true}}\n"
        "nonsense: 1\n"
    )
    storage = load_store(path)

    assert storage.driver == "s3"
    assert storage.s3 is not None
    assert storage.s3.bucket == "old"


@pytest.mark.parametrize(
    "text", ["", "storage: {}", "storage: {filesystem: {}, s3: {bucket: b}}", "storage: {s3: {}}"]
)
def test_no_store_or_two(tmp_path: Path, text: str) -> None:
    """A file that does not name exactly one usable store is refused."""
    path = tmp_path / "config.yml"
    path.write_text(text)

    with pytest.raises(SettingsError):
        load_store(path)
