# SPDX-License-Identifier: Apache-2.0
"""Google Cloud Storage's XML API in front of a server that speaks S3, for the tests.

That API is S3's with other names for headers and another way to sign, and it is what the program's
client of Google uses; no emulator has its uploads of objects and of parts (CONTRIBUTING.md). Here
tokens and signed addresses of the tests' service account are verified as Google would, headers are
renamed, and the request is signed for S3. Not imitated: that deleting what is not there is a 404,
and generations of objects beyond "must not exist".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

if TYPE_CHECKING:
    from tests.support.object_requests import StoreRequest

UNSIGNED = "UNSIGNED-PAYLOAD"
GOOGLE_SIGNATURE = "X-Goog-Signature"
# What the program's client signs whatever the address of the service is set to.
SIGNED_HOST = "storage.googleapis.com"
# S3 signs nothing else, and what is left out here would contradict the new signature.
PASSED_ON = ("host", "range", "content-type", "content-length", "transfer-encoding", "connection")
RENAMED = {"x-goog-copy-source": "x-amz-copy-source"}


class ServiceAccount:
    """An account of the tests' own, with the file that its owner would download."""

    email = "tests@moorage.example"

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        """The key, made when it is first asked for."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def file(self) -> str:
        """What stands in the account's file."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        content = {
            "type": "service_account",
            "client_email": self.email,
            "private_key": pem.decode(),
            "private_key_id": "tests",
        }
        return json.dumps(content)

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this account has signed the message."""
        try:
            self.key.public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class S3Keys:
    """What the server behind knows."""

    access: str
    secret: str
    region: str


class GoogleFront:
    """Turns a request to Google into one to S3."""

    def __init__(self, account: ServiceAccount, keys: S3Keys) -> None:
        self.account = account
        self.keys = keys

    def __call__(self, request: StoreRequest) -> bytes | None:
        """The head to send on; nothing when Google would refuse the request."""
        try:
            allowed = (
                self._signed_address(request)
                if GOOGLE_SIGNATURE in request.query
                else self._token(request.headers.get("authorization", ""))
            )
        except (ValueError, KeyError):
            return None
        return self._for_s3(request) if allowed else None

    def _token(self, authorization: str) -> bool:
        header, _, rest = authorization.removeprefix("Bearer ").partition(".")
        claims, _, signature = rest.partition(".")
        if not signature or not self.account.signed(f"{header}.{claims}".encode(), raw(signature)):
            return False
        said = json.loads(raw(claims))
        return bool(said["iss"] == self.account.email and said["exp"] > time.time())

    def _signed_address(self, request: StoreRequest) -> bool:
        path = urlsplit(request.target).path
        query = dict(request.query)
        signature = bytes.fromhex(query.pop(GOOGLE_SIGNATURE))
        asked = canonical(request.method, path, query, {"host": SIGNED_HOST}, UNSIGNED)
        signed_at = query["X-Goog-Date"]
        scope = query["X-Goog-Credential"].partition("/")[2]
        lines = [query["X-Goog-Algorithm"], signed_at, scope, sha256(asked.encode())]
        until = datetime.strptime(signed_at, "%Y%m%dT%H%M%S%z") + timedelta(
            seconds=int(query["X-Goog-Expires"])
        )
        return datetime.now(UTC) < until and self.account.signed(
            "\n".join(lines).encode(), signature
        )

    def _for_s3(self, request: StoreRequest) -> bytes:
        split = urlsplit(request.target)
        path = quote(unquote(split.path), safe="/~")
        query = {
            name: value
            for name, value in parse_qsl(split.query, keep_blank_values=True)
            if not name.startswith("X-Goog-")
        }
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        for name, renamed in RENAMED.items():
            if name in request.headers:
                headers[renamed] = request.headers[name]
        if request.headers.get("x-goog-if-generation-match") == "0":
            headers["if-none-match"] = "*"
        headers |= self._signature(request.method, path, query, headers)
        target = f"{path}?{encoded(query)}" if query else path
        lines = [f"{request.method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _signature(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str]
    ) -> dict[str, str]:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        added = {"x-amz-date": now, "x-amz-content-sha256": UNSIGNED}
        signed = {name: value for name, value in headers.items() if name.startswith("x-amz-")}
        signed |= {"host": headers["host"], **added}
        asked = canonical(method, path, query, signed, UNSIGNED)
        steps = [now[:8], self.keys.region, "s3", "aws4_request"]
        lines = ["AWS4-HMAC-SHA256", now, "/".join(steps), sha256(asked.encode())]
        key = b"AWS4" + self.keys.secret.encode()
        for step in steps:
            key = hmac.digest(key, step.encode(), "sha256")
        signature = hmac.digest(key, "\n".join(lines).encode(), "sha256").hex()
        added["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.keys.access}/{'/'.join(steps)}, "
            f"SignedHeaders={';'.join(sorted(signed))}, Signature={signature}"
        )
        return added


def canonical(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], payload: str
) -> str:
    """What Amazon and Google both sign: the request in one fixed form."""
    lines = [method, path, encoded(query)]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers)]
    return "\n".join([*lines, "", ";".join(sorted(headers)), payload])


def encoded(query: dict[str, str]) -> str:
    """The query in order, with everything escaped that may be."""
    return urlencode(sorted(query.items()), quote_via=quote, safe="~")


def sha256(content: bytes) -> str:
    """The digest in hex."""
    return hashlib.sha256(content).hexdigest()


def raw(text: str) -> bytes:
    """The bytes of a part of a token, whose padding was left out."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
