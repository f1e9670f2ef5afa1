# SPDX-License-Identifier: Apache-2.0
"""What an object store's refusals mean, in sentences that name the setting to look at.

The texts of the library hold addresses, signed strings and whole replies. Invariant: nothing of
them reaches a message but the status and the store's short code for the fault; not even as the
cause of the exception, which a log might print.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from obstore.exceptions import BaseError

from moorage.spec.errors import InsufficientStorage, OCIError, Unavailable

# Everything that the library raises: a missing object is the built-in FileNotFoundError.
FAILURES = (BaseError, OSError)

_STATUS = re.compile(r"status code: ([1-5][0-9]{2})")
_CODE = re.compile(r"<Code>([A-Za-z0-9._-]{1,64})</Code>")
_DEBUG = "\n\nDebug source"
_MOVED = 301
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_MISSING = 404
_RANGE_BEHIND_END = 416
_SERVER_FAULT = 500

_NO_ROOM = {
    "AccountQuotaExceeded",
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
_NO_ROOM_STATUS = 507
_MISSING_OBJECT = {None, "NoSuchKey", "BlobNotFound"}
_CREDENTIALS = {
    "AuthenticationFailed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidAuthenticationInfo",
    "InvalidToken",
    "NoAuthenticationInformation",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "XAdminUserNotFound",
}
_PLACE = {"NoSuchBucket", "ContainerNotFound", "ContainerDisabled", "InvalidBucketName"}
_REGION = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
}
_CLOCK = {"RequestTimeTooSkewed"}
# Where a machine asks for the credentials that its cloud gives to it.
_INSTANCE = ("169.254.", "[fd00:ec2::", "metadata.google.internal", "/latest/api/token")
_SIGN_IN = ("Credential", "credential", "oauth2", "login.microsoftonline", "sts.")


@dataclass(frozen=True, slots=True)
class SettingNames:
    """Which settings say what, for the advice in messages."""

    section: str
    credentials: str
    place: str
    region: str
    endpoint: str


def is_missing(error: Exception) -> bool:
    """Whether the object is not there, while the place that should hold it is."""
    return isinstance(error, FileNotFoundError) and _code(str(error)) in _MISSING_OBJECT


def is_behind_end(error: Exception) -> bool:
    """Whether the object ends before the range begins."""
    return _status(str(error)) == _RANGE_BEHIND_END


def refusal(error: Exception, names: SettingNames) -> OCIError:
    """The library's failure as a refusal of ours; raise it `from None`."""
    text = str(error)
    status, code = _status(text), _code(text)
    if code in _NO_ROOM or status == _NO_ROOM_STATUS:
        return InsufficientStorage(
            "The object store has no room left; tell the registry's operator."
        )
    store = f"The object store of {names.section}"
    if status is None or any(host in text.partition(_DEBUG)[0] for host in _INSTANCE):
        return Unavailable(f"{store} {_unreachable(text, names)}")
    said = f" ({status} {code})" if code else f" ({status})"
    return Unavailable(f"{store} {_meaning(status, code, names)}{said}.")


def _meaning(status: int, code: str | None, names: SettingNames) -> str:
    """What the reply means and what to look at: the first line that fits."""
    credentials, place, endpoint = names.credentials, names.place, names.endpoint
    busy = status >= _SERVER_FAULT or status in (408, 429)
    encryption = code is not None and code.startswith("KMS.")
    meanings = {
        f"does not accept the registry's credentials: look at {credentials}": (
            code in _CREDENTIALS or status == _UNAUTHORIZED
        ),
        "finds that the clock of the registry's machine is wrong: set it": code in _CLOCK,
        f"has nothing of the name that {place} gives: create it or correct the name": (
            code in _PLACE
        ),
        f"is in another region: look at {names.region}": code in _REGION or status == _MOVED,
        f"cannot use the key that encrypts the objects: look at {names.section}.keyid": encryption,
        "does not let the registry do this: give its credentials the permissions listed in "
        f"docs/object-stores.md, or look at {credentials}": status == _FORBIDDEN,
        f"does not find it: look at {place} and {endpoint}": status == _MISSING,
        "is out of order at the moment; the registry has tried again for a while": busy,
    }
    other = f"refuses the request: look at {endpoint} and at what the store supports"
    return next((meaning for meaning, fits in meanings.items() if fits), other)


def _unreachable(text: str, names: SettingNames) -> str:
    """Why there was no reply, as far as the library lets us see: the first line that fits."""
    place, advice = "cannot be reached", f"look at {names.endpoint} and {names.region}"
    reasons = {
        "needs credentials, and neither the settings, the environment nor this machine's cloud "
        f"gives any: set {names.credentials}.": _INSTANCE,
        f"{place}: its host name is not known: {advice}.": ("dns error",),
        f"{place}: it does not speak TLS there: {advice}, or set {names.section}.secure.": (
            "InvalidContentType",
            "HandshakeFailure",
        ),
        f"{place}: its TLS certificate is not trusted: add its authority to this machine's, for "
        "example with SSL_CERT_FILE.": ("ertificate", "UnknownIssuer"),
        f"{place}: the connection is refused: {advice}.": ("ConnectionRefused",),
        f"{place}: it does not answer in time: {advice}.": ("kind: Timeout", "TimedOut"),
        f"gives no access: look at {names.credentials}.": _SIGN_IN,
    }
    other = f"{place}, or broke the connection off: {advice}."
    return next((why for why, words in reasons.items() if any(w in text for w in words)), other)


def _status(text: str) -> int | None:
    match = _STATUS.search(text.partition(_DEBUG)[0])
    if match is not None:
        return int(match[1])
    return _MOVED if "incorrectly configured region" in text else None


def _code(text: str) -> str | None:
    match = _CODE.search(text.partition(_DEBUG)[0])
    return match[1] if match is not None else None
