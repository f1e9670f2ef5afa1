# SPDX-License-Identifier: Apache-2.0
"""The sections of object stores: distribution's names for them, and what must not be combined."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from moorage.settings import SettingsError, load
from moorage.settings.effective import as_plain, as_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.settings import Loaded

# As found in installations of distribution, old keys and all.
DISTRIBUTION_S3 = """\
version: 0.1
storage:
  s3aws:
    accesskey: AKIAEXAMPLE
    secretkey: very-secret
    region: eu-central-1
    regionendpoint: http://minio:9000
    forcepathstyle: true
    bucket: registry
    encrypt: false
    secure: true
    v4auth: true
    skipverify: false
    chunksize: 5242880
    multipartcopychunksize: 33554432
    multipartcopymaxconcurrency: 100
    multipartcopythresholdsize: 33554432
    rootdirectory: /registry
    storageclass: STANDARD
    objectacl: private
    loglevel: "off"
  redirect:
    disable: true
"""


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Loaded:
    """The settings of this text."""
    path = tmp_path / "config.yml"
    path.write_text(text)
    return load(path, environ or {})


def test_distributions_section_is_read(tmp_path: Path) -> None:
    """`s3aws` is `s3`; keys without meaning are named in warnings, those that say nothing not."""
    result = loaded(tmp_path, DISTRIBUTION_S3)
    s3 = result.settings.storage.s3

    assert s3 is not None
    assert (s3.bucket, s3.region, s3.chunksize) == ("registry", "eu-central-1", 5 << 20)
    assert result.settings.storage.driver == "s3"
    assert result.settings.storage.redirect.disable
    assert sorted(warning.split(" ")[1] for warning in result.warnings) == [
        "storage.s3.multipartcopychunksize",
        "storage.s3.multipartcopymaxconcurrency",
        "storage.s3.multipartcopythresholdsize",
    ]


def test_variables_of_either_name_are_read(tmp_path: Path) -> None:
    """`REGISTRY_STORAGE_S3AWS_…` sets what `REGISTRY_STORAGE_S3_…` sets."""
    environ = {
        "REGISTRY_STORAGE_S3AWS_BUCKET": "other",
        "REGISTRY_STORAGE_S3_REGION": "us-west-2",
        "REGISTRY_STORAGE_S3AWS_REGION": "lost",
    }
    s3 = loaded(tmp_path, DISTRIBUTION_S3, environ).settings.storage.s3

    assert s3 is not None
    assert (s3.bucket, s3.region) == ("other", "us-west-2")


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """Keys and tokens are hidden in what `moorage config` prints, in either form."""
    texts = [
        DISTRIBUTION_S3 + "\n",
        "storage: {s3: {bucket: b, accesskey: a, secretkey: very-secret}}",
        "storage: {gcs: {bucket: b, credentials: {private_key: very-secret}}}",
        "storage: {azure: {accountname: a, container: c, accountkey: very-secret}}",
        "storage: {azure: {accountname: a, container: c, credentials: {secret: very-secret}}}",
    ]
    for text in texts:
        result = loaded(tmp_path, text)
        assert "very-secret" not in as_yaml(result)
        assert "very-secret" not in json.dumps(as_plain(result))


def test_what_is_shown_can_be_loaded_again(tmp_path: Path) -> None:
    """The settings in effect name one store only, so they are a settings file."""
    before = loaded(tmp_path, "storage: {s3: {bucket: b, region: r}}")

    assert loaded(tmp_path, as_yaml(before)).settings == before.settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("storage: {filesystem: {}, s3: {bucket: b}}", "exactly one store"),
        ("storage: {gcs: {bucket: b}, s3: {bucket: b}}", "storage has s3 and gcs"),
        ("storage: {s3aws: {bucket: b}, s3: {bucket: b}}", "storage.s3aws is not a setting"),
        ("storage: {s3: {}}", "storage.s3.bucket is missing"),
        ("storage: {s3: {bucket: b, accesskey: a}}", "without storage.s3.secretkey"),
        ("storage: {s3: {bucket: b, secretkey: a}}", "without storage.s3.accesskey"),
        ("storage: {s3: {bucket: b, chunksize: 32000}}", "at least 5MiB"),
        ("storage: {s3: {bucket: a/b}}", "is not bucket name"),
        (
            "storage: {azure: {accountname: a, container: c, credentials: {type: client_secret}}}",
            "client_secret needs storage.azure.credentials.clientid",
        ),
        (
            "storage: {azure: {accountname: a, container: c, credentials: {type: shared_key}}}",
            "shared_key needs storage.azure.accountkey",
        ),
        ("storage: {oss: {bucket: b}}", "it speaks S3: use storage.s3"),
        ("storage: {swift: {container: b}}", "this store does not exist here"),
        ("storage: {redirect: {baseurl: cdn}}", "is not URL"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """A combination that makes no sense is refused with what to do."""
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)

    assert words in str(caught.value)
