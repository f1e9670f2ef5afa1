# SPDX-License-Identifier: Apache-2.0
"""The keys of distribution that are not ours: accepted with a warning, replaced, or refused.

Tables and nothing else; loader, schema and reference read them. The rule that sorts a key: one that
makes the registry faster, noisier or more comfortable is accepted and named in a warning; one whose
silent loss would open the registry or put data in another place is refused.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """A key without effect here: what to do instead, and the values that mean what we do anyway."""

    advice: str
    silent: tuple[object, ...] = ()


NOT_YET = "is not there yet"
NO_COPIES = "nothing is copied to finish an upload: remove it"
RETRIES = "requests are repeated for a time, not a number of times: use storage.azure.retrytimeout"

# Dotted key -> advice. A key covers everything below it.
ACCEPTED: dict[str, Accepted] = {
    "log.hooks": Accepted(
        "mail from the log is not sent: let the system that collects the logs raise alarms"
    ),
    "log.reportcaller": Accepted("lines name no place in the source code: remove it", (False,)),
    "storage.cache": Accepted(
        "descriptors are read from the database, which needs no cache: remove the section"
    ),
    "storage.tag": Accepted(
        "looking up tags is one indexed statement and needs no concurrency limit: remove it"
    ),
    "storage.s3.v4auth": Accepted("requests are always signed with version 4: remove it", (True,)),
    "storage.s3.multipartcopychunksize": Accepted(NO_COPIES),
    "storage.s3.multipartcopymaxconcurrency": Accepted(NO_COPIES),
    "storage.s3.multipartcopythresholdsize": Accepted(NO_COPIES),
    "storage.s3.objectacl": Accepted(
        "objects get no ACL: let the bucket's policy or its object ownership decide", ("private",)
    ),
    "storage.s3.loglevel": Accepted("requests to the store are not logged: remove it", ("off",)),
    "storage.gcs.maxconcurrency": Accepted(
        "the number of requests to the store is not limited; see limits.connections"
    ),
    "storage.azure.copy_status_poll_max_retry": Accepted(NO_COPIES),
    "storage.azure.copy_status_poll_delay": Accepted(NO_COPIES),
    "storage.azure.max_retries": Accepted(RETRIES),
    "storage.azure.retry_delay": Accepted(RETRIES),
    "storage.filesystem.maxthreads": Accepted(
        "file access is not limited by a number of threads; see limits.connections"
    ),
    "http.relativeurls": Accepted(
        "Location headers are relative unless http.host is set: remove it", (True,)
    ),
    "http.debug": Accepted(
        "there is no second port: /healthz and /readyz are on http.addr; an endpoint for metrics "
        + NOT_YET
    ),
    "http.h2c": Accepted(
        "HTTP/2 without TLS is not spoken: let the proxy in front use HTTP/1.1",
        ({"enabled": False},),
    ),
    "http.tls.clientauth": Accepted(
        "with clientcas every client needs a certificate that verifies, as with "
        "require-and-verify-client-cert",
        ("require-and-verify-client-cert",),
    ),
    "http.tls.letsencrypt": Accepted(
        "certificates are not requested here: let certbot or another ACME client write "
        "http.tls.certificate and http.tls.key, which are loaded again when they change"
    ),
    "notifications": Accepted(
        "webhooks are not there yet: nothing is sent, but every change is recorded as an event"
    ),
    "redis": Accepted("no cache server is needed: remove the section"),
    "health": Accepted("/healthz and /readyz are always served: remove the section"),
    "proxy": Accepted(
        "pulling through from another registry is not there yet: this registry serves only what "
        "was pushed or imported"
    ),
    "middleware": Accepted(
        "there are no plug-ins: for a CDN in front of an object store use storage.redirect.baseurl"
    ),
    "reporting": Accepted("errors are not sent to Bugsnag or New Relic: use the log"),
    "policy": Accepted("repository classes are not checked: every media type is accepted"),
    "compatibility": Accepted("manifests of schema 1 are not accepted in any case"),
    "validation.enabled": Accepted("use validation.disabled, as in distribution 3", (True,)),
    "validation.manifests.indexes.platformlist": Accepted(
        "platforms cannot be listed: indexes.platforms is none or all"
    ),
}

SPEAKS_S3 = "it speaks S3: use storage.s3 with regionendpoint and forcepathstyle: false"
REMOVED_STORE = "this store does not exist here: copy the images with skopeo sync"
BEARER = (
    "tokens are not there yet: use auth.htpasswd (moorage htpasswd); starting without would let "
    "everybody in"
)

# Dotted key -> why, and what to do.
REFUSED: dict[str, str] = {
    "storage.oss": SPEAKS_S3,
    "storage.cos": SPEAKS_S3,
    "storage.swift": REMOVED_STORE,
    "storage.rados": REMOVED_STORE,
    "auth.token": BEARER,
    "auth.silly": "it lets everybody in who sends any header: use auth.htpasswd",
}


@dataclass(frozen=True, slots=True)
class Replacement:
    """A value of distribution that is read as one of ours."""

    value: str
    advice: str


OLD_TLS = "TLS 1.0 and 1.1 are not spoken (RFC 8996): tls1.2 is used"

# (dotted key, value in lower case) -> what is used.
REPLACED: dict[tuple[str, str], Replacement] = {
    ("http.tls.minimumtls", "tls1.0"): Replacement("tls1.2", OLD_TLS),
    ("http.tls.minimumtls", "tls1.1"): Replacement("tls1.2", OLD_TLS),
    ("validation.manifests.indexes.platforms", "list"): Replacement(
        "all", "platforms cannot be listed: all is used, which is the stricter"
    ),
}

# Dotted key -> the section of ours that it is another name of.
ALIASES: dict[str, str] = {"storage.s3aws": "storage.s3"}


def covering(path: tuple[str, ...]) -> str | None:
    """The key of one of the tables that covers `path`, if one does."""
    for length in range(1, len(path) + 1):
        dotted = ".".join(path[:length])
        if dotted in ACCEPTED or dotted in REFUSED:
            return dotted
    return None
