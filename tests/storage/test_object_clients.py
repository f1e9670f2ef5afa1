# SPDX-License-Identifier: Apache-2.0
"""From settings to addresses and credentials, and names to what they tell, without any server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from moorage.settings.sections.object_stores import S3
from moorage.spec.digests import Digest
from moorage.storage.aws_credentials import shared_credentials
from moorage.storage.object_clients import s3_endpoint
from moorage.storage.object_errors import SettingNames, refusal
from moorage.storage.object_keys import (
    is_ours,
    is_sidecar,
    new_key,
    read_sidecar,
    sidecar_content,
    sidecar_of,
    told_digest,
)
from moorage.storage.protocol import Extent, StoredBlob

if TYPE_CHECKING:
    from pathlib import Path

NAMES = SettingNames("storage.s3", "the keys", "the bucket", "the region", "the endpoint")


@pytest.mark.parametrize(
    ("settings", "endpoint", "in_host"),
    [
        (S3(bucket="b", region="eu-west-1"), None, True),
        (S3(bucket="b.dotted"), None, False),
        (S3(bucket="b", forcepathstyle=True), None, False),
        (S3(bucket="b", regionendpoint="minio:9000"), "https://minio:9000", False),
        (S3(bucket="b", regionendpoint="minio:9000", secure=False), "http://minio:9000", False),
        (S3(bucket="b", regionendpoint="http://minio:9000/"), "http://minio:9000", False),
        (
            S3(bucket="b", regionendpoint="https://oss.example.com", forcepathstyle=False),
            "https://b.oss.example.com",
            True,
        ),
        (
            S3(bucket="b", regionendpoint="https://b.oss.example.com", forcepathstyle=False),
            "https://b.oss.example.com",
            True,
        ),
        (S3(bucket="b", usedualstack=True), "b.s3.dualstack.us-east-1.amazonaws.com", True),
        (S3(bucket="b", accelerate=True), "b.s3-accelerate.amazonaws.com", True),
        (S3(bucket="b", region="cn-north-1"), "b.s3.cn-north-1.amazonaws.com.cn", True),
        (S3(bucket="b", region="r", secure=False), "http://" + "b.s3.r.amazonaws.com", True),
    ],
)
def test_where_requests_go(settings: S3, endpoint: str | None, in_host: bool) -> None:  # noqa: FBT001 (pytest)
    """Scheme, host and the place of the bucket's name follow from the settings."""
    expected = f"https://{endpoint}" if endpoint and "://" not in endpoint else endpoint

    assert s3_endpoint(settings) == (expected, in_host)


def test_keys_are_read_from_the_shared_file(tmp_path: Path) -> None:
    """The file of the AWS tools is read where nothing else gives keys, each time anew."""
    path = tmp_path / "credentials"
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_PROFILE": "registry"}
    assert shared_credentials(environ) is None
    text = "[default]\naws_access_key_id = no\n[registry]\naws_access_key_id = {}\n"
    path.write_text(text.format("first") + "aws_secret_access_key = a%b\n")

    provide = shared_credentials(environ)
    assert provide is not None
    credential = provide()
    assert (credential["access_key_id"], credential["secret_access_key"]) == ("first", "a%b")
    path.write_text(text.format("second") + "aws_secret_access_key = c\naws_session_token = t\n")
    assert (provide()["access_key_id"], provide().get("token")) == ("second", "t")

    assert shared_credentials({**environ, "AWS_ACCESS_KEY_ID": "x"}) is None
    assert shared_credentials({**environ, "AWS_WEB_IDENTITY_TOKEN_FILE": "x"}) is None
    assert shared_credentials({**environ, "AWS_PROFILE": "other"}) is None


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_name_tells_its_digest(algorithm: str) -> None:
    """What the store names it can read again, and no two names are the same."""
    digest = Digest.of(b"x", algorithm)
    key = new_key(digest)

    assert told_digest(key) == digest
    assert told_digest(sidecar_of(key)) is None
    assert told_digest(new_key()) is None
    assert new_key(digest) != key
    assert all(is_ours(name) for name in (key, sidecar_of(key), new_key(), sidecar_of(new_key())))
    assert is_sidecar(sidecar_of(key))


@pytest.mark.parametrize(
    "name",
    [
        "moorage.txt",
        "blobs/ab/file",
        "blobs/ab/" + "0" * 32,
        "blobs/00/" + "0" * 32 + ".sha256",
        "blobs/00/" + "0" * 32 + ".sha1-" + "0" * 40,
        "blobs/00/" + "0" * 32 + ".digest.digest",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    """Whatever else is in the bucket is left alone."""
    assert not is_ours(name)


def test_a_sidecar_is_read_or_refused() -> None:
    """What was written is read again; anything else is no sidecar."""
    extents = (Extent("a", 1), Extent("b", 2))
    for blob in (
        StoredBlob("a", Digest.of(b"x"), 3, extents),
        StoredBlob("a", Digest.of(b"x"), 3),
    ):
        assert read_sidecar(sidecar_content(blob)) == blob
    for content in (b"", b"[]", b"{}", b'{"digest": "x", "size": 1, "extents": []}', b"\xff"):
        assert read_sidecar(content) is None
    whole = sidecar_content(StoredBlob("a", Digest.of(b"x"), 3, extents))
    assert read_sidecar(whole.replace(b'"size": 3', b'"size": 4')) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("status code: 403 Forbidden: <Code>AccessDenied</Code>", "docs/object-stores.md"),
        ("status code: 400 Bad: <Code>ExpiredToken</Code>", "credentials: look at the keys"),
        ("status code: 403 F: <Code>RequestTimeTooSkewed</Code>", "the clock"),
        ("status code: 400 B: <Code>KMS.DisabledException</Code>", "storage.s3.keyid"),
        ("status code: 301 Moved: <Code>PermanentRedirect</Code>", "look at the region"),
        ("normally indicates an incorrectly configured region", "look at the region"),
        ("status code: 429 Too Many", "out of order at the moment"),
        ("status code: 501 Not Implemented", "out of order"),
        ("status code: 405 Method", "what the store supports"),
        ("GET 169.254.169.254/x - status code: 403", "needs credentials"),
        ("x\n\nDebug source\nUnknownIssuer", "SSL_CERT_FILE"),
        ("x\n\nDebug source\nInvalidContentType", "does not speak TLS"),
        ("x\n\nDebug source\nkind: Timeout", "does not answer in time"),
        ("x\n\nDebug source\nGoogleCredential", "gives no access"),
        ("connection closed before message completed", "broke the connection off"),
    ],
)
def test_what_a_failure_says(text: str, words: str) -> None:
    """Each kind of failure has a sentence that names what to look at, and nothing of the text."""
    message = str(refusal(OSError("secret=very-secret " + text), NAMES))

    assert words in message
    assert "very-secret" not in message
