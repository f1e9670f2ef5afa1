# SPDX-License-Identifier: Apache-2.0
"""From settings to the library's clients: endpoints, credentials, time-outs and retries.

The settings are described here by what is read of them, so that this package needs nothing of the
settings tree. What they leave out is found by the library itself: in the variables of the cloud's
own tools, in files, or with the cloud that the machine belongs to. Nothing is sent from here.
"""

from __future__ import annotations

import atexit
import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from moorage.spec.errors import Unavailable
from moorage.storage.aws_credentials import shared_credentials
from moorage.storage.object_bucket import Bucket
from moorage.storage.object_errors import FAILURES, SettingNames

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig, S3Config

CONNECT_SECONDS = 5
# The library's bound on a whole request includes the reading of its reply, which a slow client of
# ours may stretch over hours; what is bounded instead is the time without progress.
WHOLE_REQUEST = timedelta(days=7)
FIRST_BACKOFF = timedelta(milliseconds=100)
MAX_BACKOFF = timedelta(seconds=5)
# The time ends retrying, not the count.
MAX_RETRIES = 1000
# The library's threads let go of Python's objects a moment after a request has ended. One that does
# it while the interpreter is going down aborts the process.
EXIT_SECONDS = 0.05
# What the library takes for a key file that means: sign in nowhere.
_NOBODY = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
PLAIN_CLASSES = ("", "none", "standard")


class Common(Protocol):
    """What all of them have."""

    @property
    def rootdirectory(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @property
    def retrytimeout(self) -> float: ...


class S3Settings(Common, Protocol):
    """What is read of `storage.s3`."""

    @property
    def accesskey(self) -> str | None: ...
    @property
    def secretkey(self) -> str | None: ...
    @property
    def sessiontoken(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...
    @property
    def regionendpoint(self) -> str | None: ...
    @property
    def forcepathstyle(self) -> bool | None: ...
    @property
    def bucket(self) -> str: ...
    @property
    def encrypt(self) -> bool: ...
    @property
    def keyid(self) -> str | None: ...
    @property
    def secure(self) -> bool: ...
    @property
    def skipverify(self) -> bool: ...
    @property
    def storageclass(self) -> str: ...
    @property
    def useragent(self) -> str | None: ...
    @property
    def usedualstack(self) -> bool: ...
    @property
    def accelerate(self) -> bool: ...


class GCSSettings(Common, Protocol):
    """What is read of `storage.gcs`."""

    @property
    def bucket(self) -> str: ...
    @property
    def keyfile(self) -> Path | None: ...
    @property
    def credentials(self) -> Mapping[str, str] | None: ...
    @property
    def endpoint(self) -> str | None: ...


class AzureCredentials(Protocol):
    """What is read of `storage.azure.credentials`."""

    @property
    def type(self) -> str | None: ...
    @property
    def clientid(self) -> str | None: ...
    @property
    def tenantid(self) -> str | None: ...
    @property
    def secret(self) -> str | None: ...


class AzureSettings(Common, Protocol):
    """What is read of `storage.azure`."""

    @property
    def accountname(self) -> str: ...
    @property
    def accountkey(self) -> str | None: ...
    @property
    def container(self) -> str: ...
    @property
    def realm(self) -> str: ...
    @property
    def serviceurl(self) -> str | None: ...
    @property
    def credentials(self) -> AzureCredentials: ...


def s3_bucket(settings: S3Settings, section: str) -> Bucket:
    """The bucket that `storage.s3` names; `section` is what messages call that section.

    Raises:
        Unavailable: the settings make no sense to the library.
    """
    endpoint, virtual_hosted = s3_endpoint(settings)
    config: S3Config = {
        "virtual_hosted_style_request": virtual_hosted,
        # One request an object works with every store; many know no DeleteObjects.
        "disable_bulk_delete": True,
        "disable_tagging": True,
    }
    if endpoint is not None:
        config["endpoint"] = endpoint
    if settings.region:
        config["region"] = settings.region
    provider = None
    if settings.accesskey and settings.secretkey:
        config["access_key_id"] = settings.accesskey
        config["secret_access_key"] = settings.secretkey
        if settings.sessiontoken:
            config["session_token"] = settings.sessiontoken
    else:
        provider = shared_credentials()
    if settings.encrypt:
        config["server_side_encryption"] = "aws:kms" if settings.keyid else "AES256"
        if settings.keyid:
            config["sse_kms_key_id"] = settings.keyid
    options = _client_options(settings, plain=bool(endpoint and endpoint.startswith("http:")))
    if settings.skipverify:
        options["allow_invalid_certificates"] = True
    if settings.useragent:
        options["user_agent"] = settings.useragent
    names = SettingNames(
        section,
        f"{section}.accesskey and {section}.secretkey",
        f"{section}.bucket",
        f"{section}.region",
        f"{section}.regionendpoint",
    )
    try:
        client = S3Store(
            settings.bucket,
            config=config,
            client_options=options,
            retry_config=_retries(settings),
            credential_provider=provider,
        )
    except (*FAILURES, ValueError):
        raise _useless(names) from None
    storage_class = settings.storageclass
    plain_class = storage_class.lower() in PLAIN_CLASSES
    root = settings.rootdirectory
    return Bucket(client, names, root=root, storage_class=None if plain_class else storage_class)


def s3_endpoint(settings: S3Settings) -> tuple[str | None, bool]:
    """Where requests go (None: where the library sends them), and whether the bucket is in it.

    A bucket with a dot in its name fits no wildcard certificate, so it goes into the path.
    """
    bucket = settings.bucket
    scheme = "https" if settings.secure else "http"
    region = settings.region or "us-east-1"
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if settings.regionendpoint:
        given = settings.regionendpoint.rstrip("/")
        endpoint = given if "://" in given else f"{scheme}://{given}"
        if settings.forcepathstyle is not False:
            return endpoint, False
        parts = urlsplit(endpoint)
        if parts.netloc.startswith(f"{bucket}."):
            return endpoint, True
        return f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}", True
    if settings.accelerate:
        stack = ".dualstack" if settings.usedualstack else ""
        return f"{scheme}://{bucket}.s3-accelerate{stack}.{domain}", True
    virtual_hosted = not settings.forcepathstyle and "." not in bucket
    host = f"s3.dualstack.{region}.{domain}" if settings.usedualstack else f"s3.{region}.{domain}"
    if settings.secure and not settings.usedualstack and domain == "amazonaws.com":
        return None, virtual_hosted
    return (
        f"{scheme}://{bucket}.{host}" if virtual_hosted else f"{scheme}://{host}"
    ), virtual_hosted


def gcs_bucket(settings: GCSSettings, section: str) -> Bucket:
    """The bucket that `storage.gcs` names.

    Raises:
        Unavailable: the settings make no sense to the library, or the key file cannot be read.
    """
    config: GCSConfig = {}
    if settings.credentials:
        config["service_account_key"] = json.dumps(dict(settings.credentials))
    elif settings.keyfile is not None:
        config["service_account"] = str(settings.keyfile)
    if settings.endpoint is not None:
        config["base_url"] = settings.endpoint.rstrip("/")
        if not settings.credentials and settings.keyfile is None:
            # Only an emulator is at another address without asking who is there.
            config["service_account_key"] = json.dumps(
                {**_NOBODY, "gcs_base_url": settings.endpoint.rstrip("/")}
            )
    names = SettingNames(
        section,
        f"{section}.keyfile or {section}.credentials",
        f"{section}.bucket",
        f"{section}.bucket",
        f"{section}.endpoint",
    )
    plain = bool(settings.endpoint and settings.endpoint.startswith("http:"))
    try:
        client = GCSStore(
            settings.bucket,
            config=config,
            client_options=_client_options(settings, plain=plain),
            retry_config=_retries(settings),
        )
    except (*FAILURES, ValueError):
        raise _useless(names) from None
    return Bucket(client, names, root=settings.rootdirectory, storage_class=None)


def azure_container(settings: AzureSettings, section: str) -> Bucket:
    """The container that `storage.azure` names.

    Raises:
        Unavailable: the settings make no sense to the library.
    """
    account, given = settings.accountname, settings.credentials
    service = settings.serviceurl or f"https://{account}.blob.{settings.realm}"
    config: AzureConfig = {"account_name": account, "endpoint": service.rstrip("/")}
    kind = given.type or ("shared_key" if settings.accountkey else "default_credentials")
    if kind == "shared_key" and settings.accountkey is not None:
        config["account_key"] = settings.accountkey
        config["credential_type"] = "access_key"
    elif kind == "client_secret":
        config["credential_type"] = "client_secret"
        config["client_id"] = given.clientid or ""
        config["tenant_id"] = given.tenantid or ""
        config["client_secret"] = given.secret or ""
    elif given.clientid is not None:
        # Which of the machine's identities, where it has several.
        config["client_id"] = given.clientid
    names = SettingNames(
        section,
        f"{section}.accountkey or {section}.credentials",
        f"{section}.container",
        f"{section}.accountname",
        f"{section}.serviceurl and {section}.realm",
    )
    try:
        client = AzureStore(
            settings.container,
            config=config,
            client_options=_client_options(settings, plain=service.startswith("http:")),
            retry_config=_retries(settings),
        )
    except (*FAILURES, ValueError):
        raise _useless(names) from None
    return Bucket(client, names, root=settings.rootdirectory, storage_class=None)


def _client_options(settings: Common, *, plain: bool) -> ClientConfig:
    _settle_at_exit()
    return {
        "allow_http": plain,
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=settings.timeout),
        "timeout": WHOLE_REQUEST,
    }


def _retries(settings: Common) -> RetryConfig:
    return {
        "max_retries": MAX_RETRIES if settings.retrytimeout else 0,
        "retry_timeout": timedelta(seconds=settings.retrytimeout),
        "backoff": {"init_backoff": FIRST_BACKOFF, "max_backoff": MAX_BACKOFF, "base": 2},
    }


def _settle_at_exit() -> None:
    """See to it that the process waits for the library's threads once, before it ends."""
    atexit.unregister(_settle)
    atexit.register(_settle)


def _settle() -> None:
    time.sleep(EXIT_SECONDS)


def _useless(names: SettingNames) -> Unavailable:
    """The library refused the settings; its own words may quote a key."""
    return Unavailable(
        f"The object store of {names.section} cannot be used with these settings: look at the form "
        f"of {names.credentials}, {names.place} and {names.endpoint}."
    )
