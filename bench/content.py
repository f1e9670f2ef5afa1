# SPDX-License-Identifier: Apache-2.0
"""What is pushed: images as documents and bytes, and one big payload on disk.

Pure apart from the payload's file. The payload ends in a tail that differs for each push, so that
no server can answer from what it has, while its digest costs the client almost nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
ACCEPT = (
    f"{MANIFEST_TYPE}, {INDEX_TYPE}"
    ", application/vnd.docker.distribution.manifest.v2+json"
    ", application/vnd.docker.distribution.manifest.list.v2+json"
)

TAIL_BYTES = 64
# Docker, containerd and skopeo copy a layer into the request in pieces of 32 KiB, and each piece
# becomes one chunk of the transfer encoding.
CHUNK_BYTES = 32 * 1024


def digest_of(data: bytes) -> str:
    """The sha256 digest in the registry's spelling."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(media_type: str, data: bytes) -> dict[str, object]:
    """The descriptor of some content."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one platform: its config, its layers and the manifest that names them."""

    config: bytes
    layers: tuple[bytes, ...]
    annotations: dict[str, str] = field(default_factory=dict)

    def manifest(self) -> bytes:
        """The manifest as it is pushed."""
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, self.config),
            "layers": [descriptor(LAYER_TYPE, layer) for layer in self.layers],
            **({"annotations": self.annotations} if self.annotations else {}),
        }
        return json.dumps(document, separators=(",", ":")).encode()


def make_image(seed: str, layer_sizes: Sequence[int]) -> Image:
    """An image whose blobs are all different from those of any other seed."""
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
         "config": {"Labels": {"seed": seed}}}
    ).encode()  # fmt: skip
    layers = []
    for ordinal, size in enumerate(layer_sizes):
        head = f"{seed}/{ordinal}/".encode()
        layers.append(head + _filler(size - len(head)))
    return Image(config, tuple(layers))


def empty_index(seed: str) -> bytes:
    """An index without children: the smallest manifest a repository can start with."""
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [],
                "annotations": {"seed": seed}}  # fmt: skip
    return json.dumps(document, separators=(",", ":")).encode()


def _filler(size: int) -> bytes:
    block = hashlib.shake_128(b"moorage bench").digest(4096)
    return (block * (size // len(block) + 1))[:size]


class Payload:
    """A big blob as two files: its bytes, and the same bytes framed as a chunked body."""

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        self.base_size = size - TAIL_BYTES
        plain_path, framed_path = folder / "payload", folder / "payload.chunked"
        self._hasher = hashlib.sha256()
        with plain_path.open("wb") as plain, framed_path.open("wb") as framed:
            for start in range(0, self.base_size, CHUNK_BYTES):
                piece = os.urandom(min(CHUNK_BYTES, self.base_size - start))
                self._hasher.update(piece)
                plain.write(piece)
                framed.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.framed_size = framed.tell()
        self.plain = os.open(plain_path, os.O_RDONLY)
        self.framed = os.open(framed_path, os.O_RDONLY)
        self._repeated = {1: self._hasher}

    def digest(self, tail: bytes, *, repeats: int = 1) -> str:
        """The digest of the base, repeated, and this tail."""
        if repeats not in self._repeated:
            hasher = self._hasher.copy()
            for _ in range(repeats - 1):
                for start in range(0, self.base_size, 1 << 22):
                    length = min(1 << 22, self.base_size - start)
                    hasher.update(os.pread(self.plain, length, start))
            self._repeated[repeats] = hasher
        complete = self._repeated[repeats].copy()
        complete.update(tail)
        return "sha256:" + complete.hexdigest()

    @staticmethod
    def new_tail() -> bytes:
        """A tail that has never been used."""
        return os.urandom(TAIL_BYTES)

    def close(self) -> None:
        """Close the files; the folder's owner removes them."""
        os.close(self.plain)
        os.close(self.framed)
