# SPDX-License-Identifier: Apache-2.0
"""The refusals of the distribution specification: one class a code, with its HTTP status.

They are raised anywhere and written in one place, as the body that `errors_body` makes. Only what
a client may be told lives here; faults of our own become `Unknown` at the border and are logged.
Invariant: a message is a sentence for people that says what was wrong and what to do; text that
came from the client appears in it only through `quoted`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A quoted tag (128 characters) is still shown whole; a quoted megabyte is not.
MAX_QUOTED_LENGTH = 160

# One refusal lists at most so many missing digests. Docker makes no image of more than 125 layers,
# so the push of a real image always gets its full list, and a hostile one no megabytes of reply.
MAX_LISTED_DIGESTS = 128

# Long enough for a restart or a lock to pass, short enough that a client's few retries meet it.
DEFAULT_RETRY_SECONDS = 5


def quoted(text: str) -> str:
    """Text from outside, made harmless for a message: printable ASCII, in quotes, bounded."""
    if len(text) > MAX_QUOTED_LENGTH:
        return f"{text[:MAX_QUOTED_LENGTH]!a}..."
    return ascii(text)


class OCIError(Exception):
    """A refusal that the client is told about."""

    code: ClassVar[str] = "UNKNOWN"
    status: ClassVar[int] = 500
    default_message: ClassVar[str] = "Something went wrong in the registry."

    def __init__(
        self,
        message: str | None = None,
        *,
        detail: object = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.message = self.default_message if message is None else message
        self.detail = detail
        self.headers: tuple[tuple[str, str], ...] = tuple(headers)
        super().__init__(self.message)

    def items(self) -> list[tuple[str, str, object]]:
        """Code, message and detail of each error that the reply lists."""
        return [(self.code, self.message, self.detail)]

    def with_headers(self, *headers: tuple[str, str]) -> Self:
        """The same refusal with more reply headers, for what only the caller knows."""
        self.headers += headers
        return self


class BlobUnknown(OCIError):
    """The blob is not in this repository."""

    code = "BLOB_UNKNOWN"
    status = 404
    default_message = "The blob is not in this repository; push it first."


class BlobUploadInvalid(OCIError):
    """The upload session cannot be continued."""

    code = "BLOB_UPLOAD_INVALID"
    status = 400
    default_message = "The upload cannot be continued; start a new one."


class BlobUploadUnknown(OCIError):
    """There is no such upload session in this repository."""

    code = "BLOB_UPLOAD_UNKNOWN"
    status = 404
    default_message = (
        "There is no such upload here: it was finished, cancelled or has expired; start a new one."
    )


class DigestInvalid(OCIError):
    """A digest is malformed, of an unsupported algorithm, or not that of the content."""

    code = "DIGEST_INVALID"
    status = 400
    default_message = "The digest does not match the content; send both again."


class ManifestBlobUnknown(OCIError):
    """A manifest refers to content that is not in its repository."""

    code = "MANIFEST_BLOB_UNKNOWN"
    status = 400
    default_message = (
        "The manifest refers to content that is not in this repository; push it first."
    )

    _listed: tuple[tuple[str, str, object], ...] = ()

    @classmethod
    def for_digests(cls, digests: Iterable[str]) -> ManifestBlobUnknown:
        """One refusal that lists each missing digest once, in the given order."""
        missing = list(dict.fromkeys(digests))
        unlisted = len(missing) - MAX_LISTED_DIGESTS
        error = cls()
        error._listed = tuple(
            (cls.code, f"{digest} is not in this repository; push it first.", {"digest": digest})
            for digest in map(str, missing[:MAX_LISTED_DIGESTS])
        )
        if unlisted > 0:
            error._listed += ((cls.code, f"{unlisted} more digests are missing.", None),)
        return error

    def items(self) -> list[tuple[str, str, object]]:
        """One item a missing digest, or the single message."""
        return list(self._listed) or super().items()


class ManifestInvalid(OCIError):
    """The manifest cannot be understood or contradicts itself."""

    code = "MANIFEST_INVALID"
    status = 400
    default_message = "The manifest is not valid; see the image specification."


class ManifestUnknown(OCIError):
    """No such manifest or tag, also when the repository itself does not exist."""

    code = "MANIFEST_UNKNOWN"
    status = 404
    default_message = "There is no such manifest or tag in this repository."


class NameInvalid(OCIError):
    """A repository name breaks the grammar."""

    code = "NAME_INVALID"
    status = 400
    default_message = "The repository name is not valid."


class NameUnknown(OCIError):
    """There is no such repository; only for tag lists."""

    code = "NAME_UNKNOWN"
    status = 404
    default_message = "There is no such repository; a push creates it."


class SizeInvalid(OCIError):
    """The length of a body is not the announced or allowed one."""

    code = "SIZE_INVALID"
    status = 400
    default_message = "The body does not have the announced length; send it again."


class ManifestTooLarge(SizeInvalid):
    """The manifest is larger than the registry takes."""

    status = 413
    default_message = "The manifest is too large; move big annotations or inline data into blobs."


class Unauthorized(OCIError):
    """Credentials are missing or wrong; the challenge travels in the headers."""

    code = "UNAUTHORIZED"
    status = 401
    default_message = "Authentication is required; log in and try again."


class Denied(OCIError):
    """The principal is known and not allowed to do this."""

    code = "DENIED"
    status = 403
    default_message = "You are not allowed to do this; ask an owner of the repository for access."


class Unsupported(OCIError):
    """The operation is switched off or does not exist here."""

    code = "UNSUPPORTED"
    status = 405
    default_message = "The registry does not support this operation."


class RequestInvalid(OCIError):
    """A request that makes no sense and for which the specification has no code of its own."""

    code = "UNSUPPORTED"
    status = 400
    default_message = "The request is not valid."


class PreconditionFailed(OCIError):
    """`If-Match` or `If-None-Match` does not hold; DENIED keeps podman from converting formats."""

    code = "DENIED"
    status = 412
    default_message = "The tag was changed by somebody else; read it again before writing."


class TagInvalid(OCIError):
    """A tag breaks the grammar."""

    code = "TAG_INVALID"
    status = 400
    default_message = "The tag is not valid."


class TooManyTags(TagInvalid):
    """One manifest push names more tags than the registry takes at once."""

    status = 414
    default_message = "Too many tags in one push; send the rest in further requests."


class RangeInvalid(OCIError):
    """A range lies outside the content, or a chunk does not continue the upload."""

    code = "RANGE_INVALID"
    status = 416
    default_message = "The range does not fit; ask for the current state and continue from there."


class PaginationNumberInvalid(OCIError):
    """The page size is not a number."""

    code = "PAGINATION_NUMBER_INVALID"
    status = 400
    default_message = "The page size n must be a whole number, zero or more."


class ExtensionUnknown(OCIError):
    """There is no such extension."""

    code = "EXTENSION_UNKNOWN"
    status = 404
    default_message = "The registry has no such extension."


class Unknown(OCIError):
    """A fault of our own; the log has the rest under the request's id."""


class InsufficientStorage(OCIError):
    """The disk is full."""

    code = "UNAVAILABLE"
    status = 507
    default_message = "The registry has no room left; tell its operator."


class _RetryLater(OCIError):
    """A refusal that passes by itself and says when to come back."""

    def __init__(
        self,
        message: str | None = None,
        *,
        detail: object = None,
        headers: Sequence[tuple[str, str]] = (),
        retry_after: int = DEFAULT_RETRY_SECONDS,
    ) -> None:
        super().__init__(
            message, detail=detail, headers=(*headers, ("Retry-After", str(retry_after)))
        )


class TooManyRequests(_RetryLater):
    """This client asks for more than its share."""

    code = "TOOMANYREQUESTS"
    status = 429
    default_message = "Too many requests; try again later."


class Unavailable(_RetryLater):
    """The registry cannot serve this now."""

    code = "UNAVAILABLE"
    status = 503
    default_message = "The registry cannot serve this at the moment; try again later."


def errors_body(error: OCIError) -> bytes:
    """The JSON body of a refusal; its media type is `application/json`."""
    errors: list[dict[str, object]] = []
    for code, message, detail in error.items():
        entry: dict[str, object] = {"code": code, "message": message}
        if detail is not None:
            entry["detail"] = detail
        errors.append(entry)
    # ASCII escapes keep a lone surrogate in a detail from breaking the reply itself.
    return json.dumps({"errors": errors}, separators=(",", ":"), default=str).encode("ascii")
