# SPDX-License-Identifier: Apache-2.0
"""What a request to an object store means: which operation of S3, Google's XML API or Azure it is.

Told from method, path, query and headers alone, without the body. Buckets are in the path, as with
every server that the tests start.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


class Meaning(StrEnum):
    """An operation of an object store, by its name in S3."""

    PUT = "PutObject"
    CREATE_MULTIPART = "CreateMultipart"
    UPLOAD_PART = "UploadPart"
    COMPLETE_MULTIPART = "CompleteMultipart"
    ABORT_MULTIPART = "AbortMultipart"
    LIST_MULTIPART = "ListMultipart"
    GET = "GetObject"
    HEAD = "HeadObject"
    LIST = "List"
    DELETE = "Delete"
    COPY = "Copy"
    OTHER = "Other"


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """The head of a request, with header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    azure: bool = False

    @property
    def key(self) -> str:
        """The object that the request names, without its bucket; empty for the bucket itself."""
        # Azure's emulator has the account before the container.
        segments = urlsplit(self.target).path.lstrip("/").split("/", 2 if self.azure else 1)
        last = 2 if self.azure else 1
        return unquote(segments[last]) if len(segments) > last else ""

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters; of several with one name, the last."""
        found = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[-1] for name, values in found.items()}

    @property
    def meaning(self) -> Meaning:
        """The operation that is asked for."""
        if any(name.endswith("-copy-source") for name in self.headers):
            return Meaning.COPY
        return self._in_azure() if self.azure else self._in_s3()

    def _in_s3(self) -> Meaning:
        query = self.query
        if not self.key:
            return self._of_bucket(query)
        in_upload = {
            "PUT": Meaning.UPLOAD_PART,
            "POST": Meaning.COMPLETE_MULTIPART,
            "DELETE": Meaning.ABORT_MULTIPART,
        }
        if "uploadId" in query:
            return in_upload.get(self.method, Meaning.OTHER)
        if "uploads" in query:
            return Meaning.CREATE_MULTIPART
        return self._plain()

    def _of_bucket(self, query: Mapping[str, str]) -> Meaning:
        if self.method == "POST" and "delete" in query:
            return Meaning.DELETE
        if self.method == "GET":
            return Meaning.LIST_MULTIPART if "uploads" in query else Meaning.LIST
        return Meaning.OTHER

    def _in_azure(self) -> Meaning:
        in_component = {
            "block": Meaning.UPLOAD_PART,
            "blocklist": Meaning.COMPLETE_MULTIPART,
            "list": Meaning.LIST,
            "batch": Meaning.DELETE,
        }
        component = self.query.get("comp")
        if component is not None:
            return in_component.get(component, Meaning.OTHER)
        return self._plain() if self.key else Meaning.OTHER

    def _plain(self) -> Meaning:
        whole = {
            "PUT": Meaning.PUT,
            "GET": Meaning.GET,
            "HEAD": Meaning.HEAD,
            "DELETE": Meaning.DELETE,
        }
        return whole.get(self.method, Meaning.OTHER)
