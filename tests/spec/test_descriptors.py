# SPDX-License-Identifier: Apache-2.0
"""Descriptors: what they must have, may have, and may not contradict."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.descriptors import Descriptor, Platform, parse_descriptor
from moorage.spec.digests import Digest
from moorage.spec.errors import DigestInvalid, ManifestInvalid, OCIError
from moorage.spec.media_types import OCI_EMPTY, OCI_LAYER

BRACES = Digest.of(b"{}")
PLAIN = {"mediaType": OCI_EMPTY, "digest": str(BRACES), "size": 2}


def test_a_plain_descriptor_is_read() -> None:
    """Media type, digest and size are enough; all else is empty."""
    assert Descriptor(OCI_EMPTY, BRACES, 2) == parse_descriptor(PLAIN, "config")


def test_a_full_descriptor_is_read() -> None:
    """Every member of the image specification arrives, unknown ones are passed over."""
    value = PLAIN | {
        "urls": ["https://example.com/a"],
        "annotations": {"a": "b"},
        "artifactType": "application/vnd.example",
        "platform": {
            "architecture": "arm64",
            "os": "windows",
            "os.version": "10.0",
            "os.features": ["win32k"],
            "variant": "v8",
            "features": ["sse4"],
        },
        "data": "e30=",
        "newUnspecifiedField": {"a": [1]},
    }

    assert parse_descriptor(value, "config") == Descriptor(
        media_type=OCI_EMPTY,
        digest=BRACES,
        size=2,
        urls=("https://example.com/a",),
        annotations={"a": "b"},
        artifact_type="application/vnd.example",
        platform=Platform("arm64", "windows", "10.0", ("win32k",), "v8"),
        data=b"{}",
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mediaType": None}, Descriptor("", BRACES, 2)),
        ({"size": None}, Descriptor(OCI_EMPTY, BRACES, 0)),
        (
            dict.fromkeys(["urls", "annotations", "artifactType", "platform", "data"]),
            Descriptor(OCI_EMPTY, BRACES, 2),
        ),
        ({"artifactType": "", "data": ""}, Descriptor(OCI_EMPTY, BRACES, 2)),
        ({"platform": {}}, Descriptor(OCI_EMPTY, BRACES, 2, platform=Platform())),
        ({"size": 2**63 - 1}, Descriptor(OCI_EMPTY, BRACES, 2**63 - 1)),
    ],
)
def test_what_go_programs_leave_out_may_be_left_out(
    change: dict[str, Any], expected: Descriptor
) -> None:
    """Null counts as absent; an absent media type is empty, an absent size zero."""
    assert expected == parse_descriptor(PLAIN | change, "config")


BAD: list[tuple[object, type[OCIError]]] = [
    (None, ManifestInvalid),
    ([], ManifestInvalid),
    ("sha256:", ManifestInvalid),
    ({}, ManifestInvalid),
    (PLAIN | {"digest": None}, ManifestInvalid),
    (PLAIN | {"digest": 1}, ManifestInvalid),
    (PLAIN | {"digest": "sha256:baddigeststring"}, DigestInvalid),
    (PLAIN | {"digest": str(BRACES).upper()}, DigestInvalid),
    (PLAIN | {"digest": "sha384:" + "a" * 96}, DigestInvalid),
    (PLAIN | {"size": -1}, ManifestInvalid),
    (PLAIN | {"size": 2.0}, ManifestInvalid),
    (PLAIN | {"size": "2"}, ManifestInvalid),
    (PLAIN | {"size": True}, ManifestInvalid),
    (PLAIN | {"mediaType": 1}, ManifestInvalid),
    (PLAIN | {"urls": "https://example.com"}, ManifestInvalid),
    (PLAIN | {"urls": [1]}, ManifestInvalid),
    (PLAIN | {"annotations": {"a": 1}}, ManifestInvalid),
    (PLAIN | {"platform": "linux/amd64"}, ManifestInvalid),
    (PLAIN | {"platform": {"os": 1}}, ManifestInvalid),
    (PLAIN | {"data": "e3s="}, ManifestInvalid),
    (PLAIN | {"data": "e30"}, ManifestInvalid),
    (PLAIN | {"data": "e30=", "size": 3}, ManifestInvalid),
    (PLAIN | {"data": "\N{GREEK SMALL LETTER ALPHA}"}, ManifestInvalid),
    (PLAIN | {"Digest": str(BRACES)}, ManifestInvalid),
]


@pytest.mark.parametrize(("value", "kind"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_bad_descriptors_are_refused_by_place(value: object, kind: type[OCIError]) -> None:
    """What is wrong is refused, and the message says in which descriptor."""
    with pytest.raises(kind, match=r"layers\[3\]"):
        parse_descriptor(value, "layers[3]")


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_inline_data_that_is_the_content_is_taken(data: bytes, algorithm: str) -> None:
    """Data that hashes to the digest is kept decoded, whichever the algorithm."""
    value = {
        "mediaType": OCI_LAYER,
        "digest": str(Digest.of(data, algorithm)),
        "size": len(data),
        "data": base64.b64encode(data).decode(),
    }

    assert (data or None) == parse_descriptor(value, "x").data


def test_descriptors_can_be_members_of_sets() -> None:
    """A descriptor is hashable, annotations or not, so that duplicates can be found."""
    first = parse_descriptor(PLAIN | {"annotations": {"a": "b"}}, "x")

    assert len({first, parse_descriptor(PLAIN | {"annotations": {"a": "b"}}, "y")}) == 1
