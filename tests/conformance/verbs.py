# SPDX-License-Identifier: Apache-2.0
"""What a test does to a repository, in the protocol's words, and what it then insists on.

A verb sends exactly one request and returns the answer untouched, except `push_*`, which need
several and insist on each. Nothing here knows how a registry works inside.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlencode

from tests.support.images import (
    OCI_INDEX,
    OCTET_STREAM,
    json_bytes,
    open_upload,
    push_blob,
    push_image,
    push_manifest,
    with_digest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.images import (
        Content,
        Image,
        Json,
    )
    from tests.support.wire import Answer, Body, Header, Wire

ALGORITHMS = ("sha256", "sha512")
OCTETS = ("Content-Type", OCTET_STREAM)
ACCEPT = (
    ("Accept", "application/vnd.oci.image.index.v1+json"),
    ("Accept", "application/vnd.oci.image.manifest.v1+json"),
)

# Differs in every answer, whatever was asked.
VOLATILE_HEADERS = frozenset({"date", "connection", "keep-alive", "x-request-id"})


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of one registry."""

    wire: Wire
    name: str

    @property
    def path(self) -> str:
        """The address that everything in the repository begins with."""
        return f"/v2/{self.name}"

    @property
    def uploads(self) -> str:
        """Where upload sessions are opened."""
        return f"{self.path}/blobs/uploads/"

    def sibling(self, suffix: str) -> Repository:
        """Another repository, related by name only."""
        return Repository(self.wire, f"{self.name}-{suffix}")

    def blob_path(self, blob: Content | str) -> str:
        """Where a blob is."""
        return f"{self.path}/blobs/{blob if isinstance(blob, str) else blob.digest}"

    def manifest_path(self, reference: Content | str) -> str:
        """Where a manifest is, by tag or by digest."""
        name = reference if isinstance(reference, str) else reference.digest
        return f"{self.path}/manifests/{name}"

    def get_blob(self, blob: Content | str, *headers: Header) -> Answer:
        """end-2, GET."""
        return self.wire.get(self.blob_path(blob), *headers)

    def head_blob(self, blob: Content | str, *headers: Header) -> Answer:
        """end-2, HEAD."""
        return self.wire.head(self.blob_path(blob), *headers)

    def delete_blob(self, blob: Content | str) -> Answer:
        """end-10."""
        return self.wire.delete(self.blob_path(blob))

    def get_manifest(self, reference: Content | str, *headers: Header) -> Answer:
        """end-3, GET."""
        return self.wire.get(self.manifest_path(reference), *(headers or ACCEPT))

    def head_manifest(self, reference: Content | str, *headers: Header) -> Answer:
        """end-3, HEAD."""
        return self.wire.head(self.manifest_path(reference), *(headers or ACCEPT))

    def delete_manifest(self, reference: Content | str) -> Answer:
        """end-9."""
        return self.wire.delete(self.manifest_path(reference))

    def put_manifest(
        self,
        manifest: Content,
        reference: str | None = None,
        *headers: Header,
        tags: Sequence[str] = (),
        chunked: bool = False,
    ) -> Answer:
        """end-7a, or 7b with tags; by digest unless a reference is given."""
        query = f"?{urlencode([('tag', tag) for tag in tags])}" if tags else ""
        return self.wire.request(
            "PUT",
            self.manifest_path(reference or manifest) + query,
            body=manifest.payload,
            headers=(("Content-Type", manifest.media_type), *headers),
            chunked=chunked,
        )

    def tags(self, **query: object) -> Answer:
        """end-8."""
        return self.wire.get(f"{self.path}/tags/list{question(query)}")

    def referrers(self, subject: Content | str, **query: object) -> Answer:
        """end-12."""
        digest = subject if isinstance(subject, str) else subject.digest
        return self.wire.get(f"{self.path}/referrers/{digest}{question(query)}")

    def mount(self, blob: Content | str, source: str | None = None) -> Answer:
        """end-11; without a source, whatever the registry can find."""
        digest = blob if isinstance(blob, str) else blob.digest
        query = {"mount": digest, **({} if source is None else {"from": source})}
        return self.wire.post(self.uploads + question(query))

    def open(self) -> str:
        """end-4a; the session's location."""
        return open_upload(self.wire, self.name)

    def patch(self, location: str, body: Body, *headers: Header, chunked: bool = False) -> Answer:
        """end-5."""
        return self.wire.patch(location, OCTETS, *headers, body=body, chunked=chunked)

    def chunk(self, location: str, payload: bytes, first: int) -> Answer:
        """end-5 with a Content-Range that says where the chunk begins."""
        return self.patch(location, payload, span(first, len(payload)))

    def close(self, location: str, digest: str, *headers: Header, body: bytes = b"") -> Answer:
        """end-6, with the last bytes or none."""
        return self.wire.put(with_digest(location, digest), OCTETS, *headers, body=body)

    def push_blob(self, blob: Content) -> Answer:
        """Push a blob the plain way."""
        return push_blob(self.wire, self.name, blob)

    def push_manifest(self, manifest: Content, reference: str | None = None) -> Answer:
        """Push a manifest the plain way."""
        return push_manifest(self.wire, self.name, manifest, reference)

    def push_image(self, image: Image, reference: str | None = None) -> Answer:
        """Push an image the plain way."""
        return push_image(self.wire, self.name, image, reference)


def changed(manifest: Content, **fields: object) -> Content:
    """The manifest with fields set, or left out where the value is None."""
    document = {**json.loads(manifest.payload), **fields}
    kept = {key: value for key, value in document.items() if value is not None}
    return replace(manifest, payload=json_bytes(kept))


def span(first: int, length: int) -> Header:
    """The Content-Range of a chunk."""
    return "Content-Range", f"{first}-{first + length - 1}"


def question(query: Mapping[str, object]) -> str:
    """The query as part of an address, or nothing."""
    pairs = [(key, item) for key, value in query.items() for item in _items(value)]
    return f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else (value,)


def tags_of(answer: Answer) -> list[str]:
    """The tags of a tags/list answer."""
    assert answer.status == 200, answer
    return cast("list[str]", cast("Json", answer.json())["tags"])


def manifests_of(answer: Answer) -> list[Json]:
    """The descriptors of a referrers answer, which must be a valid index."""
    assert answer.status == 200, answer
    assert answer.headers.get_all("Content-Type") == [OCI_INDEX]
    document = cast("Json", answer.json())
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
    return cast("list[Json]", document["manifests"])


def digests_of(answer: Answer) -> list[str]:
    """The digests of a referrers answer."""
    return [str(descriptor["digest"]) for descriptor in manifests_of(answer)]


def next_page(answer: Answer) -> str | None:
    """Where the Link header leads; it must be one relative address with rel="next"."""
    links = answer.headers.get_all("Link")
    if not links:
        return None
    (link,) = links
    target, _, relation = link.partition(";")
    assert target.startswith("</v2/"), link
    assert target.endswith(">"), link
    assert relation.strip() == 'rel="next"', link
    return target[1:-1]


def lasting(answer: Answer) -> dict[str, list[str]]:
    """The headers that must be the same whenever and however the resource is asked for."""
    names = {key.lower() for key, _ in answer.headers} - VOLATILE_HEADERS
    return {key: answer.headers.get_all(key) for key in sorted(names)}


def assert_pullable(repository: Repository, blob: Content) -> None:
    """HEAD and GET give the blob, its length and its digest in the client's algorithm."""
    head = repository.head_blob(blob)
    assert (head.status, head.body) == (200, b""), head
    got = repository.get_blob(blob)
    assert got.status == 200, got
    assert got.body == blob.payload
    for answer in (head, got):
        assert answer.headers["Content-Length"] == str(blob.size)
        assert answer.headers["Docker-Content-Digest"] == blob.digest


def assert_error(answer: Answer, status: int, code: str) -> None:
    """A refusal in the specification's words: status, JSON type, code, message."""
    assert answer.status == status, answer
    assert answer.headers.get_all("Content-Type") == ["application/json"], answer
    assert code in answer.error_codes(), answer
    errors = cast("dict[str, list[Json]]", answer.json())["errors"]
    assert all(error.get("message") for error in errors), answer
