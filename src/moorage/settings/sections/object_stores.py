# SPDX-License-Identifier: Apache-2.0
"""The sections `storage.s3`, `storage.gcs` and `storage.azure`, and `storage.redirect`.

The keys are those of distribution's drivers. What a store is called and who may use it is said
here; how the objects in it are named is not a matter of settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moorage.settings.amounts import Duration, Size
from moorage.settings.compounds import ListOf, MapOf
from moorage.settings.kinds import Boolean, Choice, FilePath, Network, Text
from moorage.settings.leaves import optional, required, section, setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MIB = 1 << 20
MINUTE = 60.0
DAY = 24 * 60 * MINUTE

_ADDRESS = Text(
    "address",
    "https://store.example.com",
    r"(https?://)?[^/?#\s]+(/[^?#\s]*)?",
    ": write a host, with a scheme and a port if needed, like http://minio:9000",
    "/",
)
_URL = Text(
    "URL",
    "https://cdn.example.com",
    r"https?://[^/?#\s]+(/[^?#\s]*)?",
    ": write a URL without query, like https://cdn.example.com/images",
    "/",
)

_CHUNKSIZE = (
    "The size of the parts in which longer blobs are sent. What fits one part is stored with one "
    "request. An upload holds up to two parts in memory, and fewer uploads fit into "
    "`limits.uploadmemory` when parts are larger; on the other hand a single upload to a store far "
    "away is faster with larger parts, since one is on its way at a time."
)
_CHUNKSIZE_BOUNDS = (
    "S3 takes no parts below 5 MiB, and at most 10,000 of them for an object: a blob of more than "
    "48 GiB is stored as several objects, which nobody notices. distribution's default is 10 MB on "
    "S3."
)
_ROOTDIRECTORY = (
    "What the names of all objects begin with, so that a bucket can hold other things as well. "
    "A tree that was filled by distribution is not read in place: `moorage import` takes its "
    "content over."
)
_TIMEOUT = (
    "How long a request to the store may be without progress: sending a part, or waiting for the "
    "next bytes. It is no limit on a download."
)
_TIMEOUT_BOUNDS = (
    "The AWS tools wait 60 seconds for data. It must be long enough to send a part of `chunksize`."
)
_RETRYTIMEOUT = (
    "How long a request that the store answers with an error of its own, or not at all, is "
    "repeated with growing pauses before the client is told that the registry is unavailable."
)
_RETRYTIMEOUT_BOUNDS = (
    "Stores ask for patience in seconds while they grow; clients give up after a minute or more, "
    "and repeat a 503 by themselves."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStoreSection:
    """What the sections of all object stores have."""

    chunksize: int = setting(
        Size(5 * MIB, 512 * MIB), 5 * MIB, _CHUNKSIZE, bounds=_CHUNKSIZE_BOUNDS
    )
    rootdirectory: str = setting(Text(), "", _ROOTDIRECTORY)
    timeout: float = setting(Duration(1.0, DAY), 60.0, _TIMEOUT, bounds=_TIMEOUT_BOUNDS)
    retrytimeout: float = setting(
        Duration(0.0, 5 * MINUTE), 30.0, _RETRYTIMEOUT, bounds=_RETRYTIMEOUT_BOUNDS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3(ObjectStoreSection):
    """Blobs in a bucket of S3, or of anything that speaks it."""

    bucket: str = required(
        Text("bucket name", "registry", r"[^/\s]+"), "The bucket. It must exist."
    )
    region: str | None = optional(
        Text(),
        "The region of the bucket. Unset, it is `AWS_REGION` or `AWS_DEFAULT_REGION` of the "
        "environment, else `us-east-1`, which is what other stores than Amazon's expect if they do "
        "not say otherwise.",
    )
    regionendpoint: str | None = optional(
        _ADDRESS,
        "The address of a store that is not Amazon's: MinIO, Ceph, Garage, Cloudflare R2, Alibaba "
        "OSS, Tencent COS and others.",
    )
    forcepathstyle: bool | None = optional(
        Boolean(),
        "Put the bucket's name into the path (`true`) or into the host name (`false`). Unset, it "
        "is the path with `regionendpoint`, and the host name at Amazon unless the bucket has a "
        "dot in its name.",
    )
    accesskey: str | None = optional(
        Text(),
        "The access key. Without it and `secretkey` the keys come from the environment "
        "(`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), a web identity "
        "(`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`), the container service (ECS, EKS Pod "
        "Identity), the file `~/.aws/credentials` (`AWS_SHARED_CREDENTIALS_FILE`, `AWS_PROFILE`), "
        "or the role of the EC2 instance, in this order.",
    )
    secretkey: str | None = optional(Text(), "The secret key of `accesskey`.", secret=True)
    sessiontoken: str | None = optional(Text(), "The session token of temporary keys.", secret=True)
    encrypt: bool = setting(
        Boolean(),
        False,
        "Ask the store to encrypt each object: with its own keys, or with `keyid`. Amazon encrypts "
        "in any case; the bucket's own default is used when this is false.",
    )
    keyid: str | None = optional(
        Text(), "The KMS key to encrypt with. Without `encrypt` it has no effect."
    )
    secure: bool = setting(
        Boolean(),
        True,
        "Use TLS. A scheme that `regionendpoint` begins with says the same and wins.",
    )
    skipverify: bool = setting(
        Boolean(),
        False,
        "Trust any TLS certificate. Whoever can get between the registry and the store can then "
        "read and replace everything: let the machine trust the store's authority instead.",
    )
    storageclass: str = setting(
        Text(),
        "STANDARD",
        "The storage class of new objects, as the store calls it, for example `STANDARD_IA` or "
        "`INTELLIGENT_TIERING`. `NONE` sends none. Classes whose objects must be restored before "
        "they can be read do not work.",
    )
    useragent: str | None = optional(Text(), "The `User-Agent` of requests to the store.")
    usedualstack: bool = setting(
        Boolean(), False, "Use Amazon's addresses that have IPv6 as well as IPv4."
    )
    accelerate: bool = setting(
        Boolean(), False, "Use Amazon's Transfer Acceleration, which the bucket must have enabled."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GCS(ObjectStoreSection):
    """Blobs in a bucket of Google Cloud Storage."""

    bucket: str = required(
        Text("bucket name", "registry", r"[^/\s]+"), "The bucket. It must exist."
    )
    keyfile: Path | None = optional(
        FilePath(),
        "The file with the key of a service account. Without it and `credentials` they are found "
        "as Google's tools do: `GOOGLE_APPLICATION_CREDENTIALS`, the file of `gcloud auth "
        "application-default login`, or the service account of the machine or the pod.",
    )
    credentials: Mapping[str, str] | None = optional(
        MapOf(Text(), "name"),
        "What such a key file holds, key by key (`type`, `client_email`, `private_key`, …), "
        "instead of a file.",
        secret=True,
    )
    endpoint: str | None = optional(
        _URL,
        "Another address for the storage service, for example of an emulator. Without a key file "
        "nothing is signed then.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureCredentials:
    """How the registry proves to Azure who it is."""

    type: Literal["shared_key", "client_secret", "default_credentials"] | None = optional(
        Choice(("shared_key", "client_secret", "default_credentials")),
        "`shared_key` uses `accountkey`; `client_secret` signs in as an application; "
        "`default_credentials` takes what the environment has (`AZURE_*`), a workload identity or "
        "the managed identity of the machine. Unset, it is `shared_key` when there is an "
        "`accountkey`, else `default_credentials`.",
    )
    clientid: str | None = optional(
        Text(), "The application, or which of the machine's managed identities."
    )
    tenantid: str | None = optional(Text(), "The directory (tenant) of the application.")
    secret: str | None = optional(Text(), "The application's secret.", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Azure(ObjectStoreSection):
    """Blobs in a container of Azure Blob Storage."""

    accountname: str = required(Text(), "The storage account.")
    accountkey: str | None = optional(Text(), "A key of the storage account.", secret=True)
    container: str = required(
        Text("container name", "registry", r"[^/\s]+"), "The container. It must exist."
    )
    credentials: AzureCredentials = section(
        AzureCredentials, "How the registry proves to Azure who it is."
    )
    realm: str = setting(
        Text(),
        "core.windows.net",
        "The domain of the cloud: `core.chinacloudapi.cn` in China, `core.usgovcloudapi.net` for "
        "the government of the United States.",
    )
    serviceurl: str | None = optional(
        _URL,
        "The whole address of the blob service instead of the one made of account and realm, for "
        "example of an emulator: `http://127.0.0.1:10000/devstoreaccount1`.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Sending clients to the object store for the bytes of blobs."""

    disable: bool = setting(
        Boolean(),
        False,
        "Send the bytes of blobs through the registry instead of sending clients to the object "
        "store. Blobs on a local disk are sent by the registry in any case.",
    )
    expiry: float = setting(
        Duration(MINUTE, 7 * DAY),
        20 * MINUTE,
        "How long a signed URL can be used to begin a download.",
        bounds="20 minutes are what distribution's URLs are valid for; the stores allow 7 days at "
        "most, and temporary credentials less.",
    )
    baseurl: str | None = optional(
        _URL,
        "The address of a CDN or proxy in front of the store. Clients are sent there with the "
        "object's name and the store's signature behind it; see docs/object-stores.md for what it "
        "has to do with them.",
    )
    exceptnetworks: tuple[str, ...] = setting(
        ListOf(Network()),
        (),
        "Clients in these networks cannot reach the store and get the bytes from the registry.",
    )
