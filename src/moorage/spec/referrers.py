# SPDX-License-Identifier: Apache-2.0
"""The list of referrers (end-12) as a document, and the tag that stood in for it before.

Which manifests refer to a subject is a question for the database. Invariant: the list is a valid
OCI index, `manifests` is a list even when empty, and optional members are absent rather than null.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from moorage.spec.manifests import SCHEMA_VERSION
from moorage.spec.media_types import OCI_INDEX
from moorage.spec.names import TagName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from moorage.spec.digests import Digest

# The referrers tag schema cuts the two parts of the digest at these lengths, to stay within the 128
# characters of a tag; so the tag of a sha512 subject carries only half of its digest.
_ALGORITHM_LENGTH: Final = 32
_ENCODED_LENGTH: Final = 64

_not_of_a_tag = re.compile(r"[^a-zA-Z0-9._-]")


def fallback_tag(subject: Digest) -> TagName:
    """The tag under which clients kept referrers in registries that had no list of them."""
    algorithm = subject.algorithm[:_ALGORITHM_LENGTH]
    encoded = subject.encoded[:_ENCODED_LENGTH]
    return TagName(_not_of_a_tag.sub("-", f"{algorithm}-{encoded}"))


def referrer_descriptor(
    *,
    media_type: str,
    digest: str,
    size: int,
    artifact_type: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """One entry of the list; the annotations are those of the referring manifest itself."""
    descriptor: dict[str, object] = {"mediaType": media_type, "digest": digest, "size": size}
    if artifact_type:
        descriptor["artifactType"] = artifact_type
    if annotations:
        descriptor["annotations"] = dict(annotations)
    return descriptor


def index_body(descriptors: Iterable[Mapping[str, object]]) -> bytes:
    """The list as the bytes of an index, to be sent as exactly `OCI_INDEX`."""
    index = {
        "schemaVersion": SCHEMA_VERSION,
        "mediaType": OCI_INDEX,
        "manifests": [dict(descriptor) for descriptor in descriptors],
    }
    return json.dumps(index, separators=(",", ":")).encode("ascii")
