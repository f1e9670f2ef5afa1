# SPDX-License-Identifier: Apache-2.0
"""The refusals: codes, statuses, bodies, and that hostile text stays harmless in them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec import errors
from moorage.spec.errors import ManifestBlobUnknown, OCIError, errors_body, quoted

TABLE = [
    (errors.BlobUnknown, "BLOB_UNKNOWN", 404),
    (errors.BlobUploadInvalid, "BLOB_UPLOAD_INVALID", 400),
    (errors.BlobUploadUnknown, "BLOB_UPLOAD_UNKNOWN", 404),
    (errors.DigestInvalid, "DIGEST_INVALID", 400),
    (errors.ManifestBlobUnknown, "MANIFEST_BLOB_UNKNOWN", 400),
    (errors.ManifestInvalid, "MANIFEST_INVALID", 400),
    (errors.ManifestUnknown, "MANIFEST_UNKNOWN", 404),
    (errors.NameInvalid, "NAME_INVALID", 400),
    (errors.NameUnknown, "NAME_UNKNOWN", 404),
    (errors.SizeInvalid, "SIZE_INVALID", 400),
    (errors.ManifestTooLarge, "SIZE_INVALID", 413),
    (errors.Unauthorized, "UNAUTHORIZED", 401),
    (errors.Denied, "DENIED", 403),
    (errors.Unsupported, "UNSUPPORTED", 405),
    (errors.TooManyRequests, "TOOMANYREQUESTS", 429),
    (errors.TagInvalid, "TAG_INVALID", 400),
    (errors.TooManyTags, "TAG_INVALID", 414),
    (errors.RangeInvalid, "RANGE_INVALID", 416),
    (errors.PaginationNumberInvalid, "PAGINATION_NUMBER_INVALID", 400),
    (errors.PreconditionFailed, "DENIED", 412),
    (errors.RequestInvalid, "UNSUPPORTED", 400),
    (errors.Unknown, "UNKNOWN", 500),
    (errors.Unavailable, "UNAVAILABLE", 503),
    (errors.InsufficientStorage, "UNAVAILABLE", 507),
    (errors.ExtensionUnknown, "EXTENSION_UNKNOWN", 404),
]


@pytest.mark.parametrize(("kind", "code", "status"), TABLE)
def test_each_refusal_has_its_code_status_and_a_sentence(
    kind: type[OCIError], code: str, status: int
) -> None:
    """Every class carries the specification's code, its status and a default sentence."""
    error = kind()

    assert (code, status) == (error.code, error.status)
    assert error.message.endswith(".")
    assert {"errors": [{"code": code, "message": error.message}]} == json.loads(errors_body(error))


def test_message_and_detail_are_the_given_ones() -> None:
    """A message and a detail replace the default and appear in the body."""
    error = errors.Denied("No.", detail=[{"Type": "repository", "Name": "a", "Action": "pull"}])

    assert str(error) == "No."
    assert json.loads(errors_body(error)) == {
        "errors": [
            {
                "code": "DENIED",
                "message": "No.",
                "detail": [{"Type": "repository", "Name": "a", "Action": "pull"}],
            }
        ]
    }


def test_headers_can_be_added_by_who_knows_them() -> None:
    """with_headers keeps the headers of the place that raised and appends the caller's."""
    error = errors.RangeInvalid(headers=[("Range", "0-9")])

    assert error.with_headers(("Location", "/v2/a"), ("X", "y")) is error
    assert error.headers == (("Range", "0-9"), ("Location", "/v2/a"), ("X", "y"))
    assert errors.RangeInvalid().headers == ()


@pytest.mark.parametrize("kind", [errors.TooManyRequests, errors.Unavailable])
def test_passing_refusals_say_when_to_return(
    kind: type[errors.TooManyRequests | errors.Unavailable],
) -> None:
    """429 and 503 carry Retry-After, after the headers that were given."""
    assert kind().headers == (("Retry-After", str(errors.DEFAULT_RETRY_SECONDS)),)
    assert kind(headers=[("A", "b")], retry_after=30).headers == (("A", "b"), ("Retry-After", "30"))


def test_missing_digests_are_listed_once_each() -> None:
    """for_digests gives one error a distinct digest, in order, with detail.digest."""
    error = ManifestBlobUnknown.for_digests(["sha256:b", "sha256:a", "sha256:b"])

    listed = json.loads(errors_body(error))["errors"]

    assert [entry["detail"]["digest"] for entry in listed] == ["sha256:b", "sha256:a"]
    assert {"MANIFEST_BLOB_UNKNOWN"} == {entry["code"] for entry in listed}
    assert error.status == 400


def test_a_list_of_missing_digests_is_bounded() -> None:
    """Beyond the bound one last entry says how many more are missing."""
    error = ManifestBlobUnknown.for_digests(
        f"sha256:{number}" for number in range(errors.MAX_LISTED_DIGESTS + 7)
    )

    assert len(error.items()) == errors.MAX_LISTED_DIGESTS + 1
    assert error.items()[-1] == ("MANIFEST_BLOB_UNKNOWN", "7 more digests are missing.", None)


def test_no_missing_digest_still_gives_a_body() -> None:
    """An empty list falls back to the single default message."""
    assert len(ManifestBlobUnknown.for_digests([]).items()) == 1


@given(st.text())
def test_quoted_text_is_printable_ascii_and_bounded(text: str) -> None:
    """Whatever the client sent, its quotation has no control characters and no great length."""
    shown = quoted(text)

    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= errors.MAX_QUOTED_LENGTH * 10 + 5


@given(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_any_message_and_detail_give_a_json_body(message: str, detail: object) -> None:
    """A body is always JSON that gives back message and detail, even for lone surrogates."""
    (entry,) = json.loads(errors_body(OCIError(message, detail=detail)))["errors"]

    assert message == entry["message"]
    assert detail == entry.get("detail")
