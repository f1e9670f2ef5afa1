# SPDX-License-Identifier: Apache-2.0
"""What refers to a manifest: signatures, attestations, SBOMs (end-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.distribution.paging import requested_page
from moorage.http.replies import BytesReply
from moorage.spec.digests import Digest
from moorage.spec.media_types import OCI_INDEX
from moorage.spec.pagination import next_link
from moorage.spec.referrers import index_body

if TYPE_CHECKING:
    from moorage.distribution.registry import Call, Registry
    from moorage.http.replies import Reply

# A page ends by its bytes long before this for all but the barest descriptors.
LARGEST_PAGE = 10_000


async def list_referrers(registry: Registry, call: Call) -> Reply:
    """An index of descriptors; an unknown subject or repository has none, and that is no error."""
    subject = Digest.parse(call.argument)
    artifact_types = [value for value in call.request.query.get("artifactType", []) if value]
    page, limit = requested_page(call.request, LARGEST_PAGE, default=LARGEST_PAGE)

    descriptors, more = await registry.content.referrers.page(
        call.repository, subject, frozenset(artifact_types), page.last or "", limit
    )

    headers = []
    if artifact_types:
        headers.append((b"oci-filters-applied", b"artifactType"))
    if more and descriptors:
        path = f"{registry.base}/v2/{call.repository}/referrers/{subject}"
        kept = [("artifactType", value) for value in artifact_types]
        link = next_link(path, page.limit, str(descriptors[-1]["digest"]), kept)
        headers.append((b"link", link.encode("ascii")))
    return BytesReply(200, index_body(descriptors), OCI_INDEX.encode(), headers)
