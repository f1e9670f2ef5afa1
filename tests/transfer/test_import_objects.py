# SPDX-License-Identifier: Apache-2.0
"""Moving from distribution on an object store: its bucket, filled by a real one, becomes ours."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import obstore
import pytest

from tests.support.commands import Commands
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire
from tests.transfer.old_registry import OldRegistry, assert_serves, fill

if TYPE_CHECKING:
    from pathlib import Path

    from obstore.store import S3Store

    from tests.support.object_servers import ObjectServer

TREE = "archive/old/docker/registry/v2"


@dataclass(frozen=True)
class Bucket:
    """A bucket that distribution has filled, and the configuration that it had."""

    old: OldRegistry
    storage: dict[str, Any]
    client: S3Store

    def config(self, folder: Path, **changes: object) -> Path:
        """The configuration file of the distribution, with much that does not concern us."""
        storage = {**self.storage, "cache": {"blobdescriptor": "redis"}, **changes}
        document = {"version": 0.1, "storage": storage, "auth": {"token": {"realm": "x"}}}
        path = folder / "distribution.yml"
        path.write_text(json.dumps(document))
        return path

    def names(self) -> dict[str, int]:
        """All objects and their sizes."""
        listed = obstore.list(self.client).collect()
        return {item["path"]: item["size"] for item in listed}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, s3_server: ObjectServer) -> Bucket:
    """One for all tests that do not change it."""
    name = s3_server.bucket()
    storage = dict(s3_server.settings(name))
    section = storage["s3"]
    assert isinstance(section, dict)
    storage["s3"] = {**section, "rootdirectory": "/archive/old", "v4auth": True}
    old = fill(tmp_path_factory.mktemp("distribution"), storage)
    client = s3_server.client(name)
    return Bucket(old, storage, client)  # type: ignore[arg-type] # S3 has that client


def test_every_digest_and_tag_arrives(
    bucket: Bucket, registry: RunningRegistry, commands: Commands, tmp_path: Path
) -> None:
    """What distribution served from its bucket we serve from a folder; the bucket stays."""
    before = bucket.names()
    outcome = commands.run("import", "--source-config", bucket.config(tmp_path), "--json")

    assert outcome.code == 0, outcome
    report = outcome.json()
    assert report["manifests"] == len(bucket.old.manifests)
    assert report["tags"] == len(bucket.old.tags)
    assert report["blobs"] == len({digest for _, digest in bucket.old.blobs})
    assert report["linked"] == 0
    with registry, Wire(f"http://{registry.host}") as wire:
        assert_serves(wire, bucket.old)
    assert commands.run("check").code == 0
    assert bucket.names() == before
    again = commands.run("import", "--source-config", bucket.config(tmp_path), "--json").json()
    assert (again["blobs"], again["manifests"], again["tags"]) == (0, 0, 0)


def test_from_one_bucket_to_another(
    bucket: Bucket, s3_server: ObjectServer, tmp_path: Path
) -> None:
    """A registry on an object store takes over a bucket without a disk between them."""
    config = {
        "storage": {**s3_server.settings(), "redirect": {"disable": True}},
        "database": {"sqlite": {"path": str(tmp_path / "moorage.db")}},
    }
    registry = RunningRegistry(tmp_path / "registry", config)
    source = bucket.config(tmp_path)
    outcome = Commands.of(registry).run("import", "--source-config", source)

    assert outcome.code == 0, outcome
    assert Commands.of(registry).run("check").code == 0


def test_a_folder_into_a_bucket(bucket: Bucket, s3_server: ObjectServer, tmp_path: Path) -> None:
    """The data folder of a distribution goes into an object store too."""
    folder = tmp_path / "tree"
    for name in bucket.names():
        path = folder / name.removeprefix("archive/old/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(obstore.get(bucket.client, name).bytes()))
    config = {
        "storage": {**s3_server.settings()},
        "database": {"sqlite": {"path": str(tmp_path / "moorage.db")}},
    }
    commands = Commands.of(RunningRegistry(tmp_path / "registry", config))
    source = bucket.config(tmp_path, s3=None, filesystem={"rootdirectory": str(folder)})
    text = json.loads(source.read_text())
    del text["storage"]["s3"]
    source.write_text(json.dumps(text))

    outcome = commands.run("import", "--source-config", source, "--json")

    assert outcome.code == 0, outcome
    assert outcome.json()["manifests"] == len(bucket.old.manifests)
    assert commands.run("check").code == 0


@pytest.mark.parametrize("how", [(), ("--trust",)])
def test_a_dry_run_changes_nothing(
    bucket: Bucket,
    registry: RunningRegistry,
    commands: Commands,
    tmp_path: Path,
    how: tuple[str, ...],
) -> None:
    """A dry run tells the figures of the real one and makes no registry."""
    source = bucket.config(tmp_path)
    outcome = commands.run("import", "--source-config", source, "--dry-run", "--json", *how)

    assert outcome.code == 0, outcome
    report = outcome.json()
    assert report["manifests"] == len(bucket.old.manifests)
    blobs = {blob.digest: blob.size for blob in bucket.old.blobs.values()}
    assert report["bytes"] == sum(blobs.values())
    assert not registry.root.exists()


def test_what_cannot_come_is_named(
    bucket: Bucket, s3_server: ObjectServer, commands: Commands, tmp_path: Path
) -> None:
    """Damaged and missing content and tags of nonsense stay behind with their reason."""
    name = s3_server.bucket()
    client = s3_server.client(name)
    for path in bucket.names():
        obstore.put(client, path, obstore.get(bucket.client, path).bytes())
    broken = replace(bucket, storage={"s3": {**bucket.storage["s3"], "bucket": name}})
    lone = [digest for (_, digest) in bucket.old.blobs]
    damaged, lost = sorted(set(lone))[:2]
    obstore.put(client, data_of(damaged), b"something else")
    obstore.delete(client, data_of(lost))
    link = f"{TREE}/repositories/app/_manifests/tags/latest/current/link"
    obstore.put(client, link, b"nonsense")

    outcome = commands.run("import", "--source-config", broken.config(tmp_path), "--json")

    assert outcome.code == 1, outcome
    reasons = {each["what"]: each["reason"] for each in outcome.json()["skipped"]}
    assert "damaged" in reasons[f"blob {damaged}"]
    assert "missing" in reasons[f"blob {lost}"]
    assert "nonsense" in reasons["tag latest"]
    assert commands.run("check").code == 0


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"bucket": "moorage-no-such-bucket"}, "bucket"),
        ({"rootdirectory": "elsewhere"}, "rootdirectory"),
    ],
)
def test_a_wrong_place_is_said_to_be_that(
    bucket: Bucket, commands: Commands, tmp_path: Path, section: dict[str, str], reason: str
) -> None:
    """A bucket without distribution's data ends the command with what to look at."""
    wrong = bucket.config(tmp_path, s3={**bucket.storage["s3"], **section})
    outcome = commands.run("import", "--source-config", wrong)

    assert outcome.code == 2
    assert reason in outcome.errors


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "name one source"),
        (("folder", "--source-config", "file"), "name one source"),
        (("--source-config", "/no/such/file"), "no such file"),
    ],
)
def test_one_source_and_no_other(
    commands: Commands, arguments: tuple[str, ...], reason: str
) -> None:
    """A call without a source, or with two, is told to name one."""
    outcome = commands.run("import", *arguments)

    assert outcome.code == 2
    assert reason in outcome.errors


def data_of(digest: str) -> str:
    """Where distribution has the bytes of a blob."""
    algorithm, _, encoded = digest.partition(":")
    return f"{TREE}/blobs/{algorithm}/{encoded[:2]}/{encoded}/data"
