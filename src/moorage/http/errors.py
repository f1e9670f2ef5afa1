# SPDX-License-Identifier: Apache-2.0
"""Refusals become replies here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.http.replies import BytesReply
from moorage.spec.errors import errors_body

if TYPE_CHECKING:
    from moorage.spec.errors import OCIError

JSON = b"application/json"  # docker reads the message only from this very type


def error_reply(error: OCIError) -> BytesReply:
    """What a client is told."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers
    ]
    return BytesReply(error.status, errors_body(error), JSON, headers)
