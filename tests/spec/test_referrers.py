# SPDX-License-Identifier: Apache-2.0
"""The referrers list as a document and the tag that stands in for it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from moorage.spec.digests import Digest
from moorage.spec.manifests import parse_manifest
from moorage.spec.media_types import OCI_INDEX, OCI_MANIFEST
from moorage.spec.names import parse_tag
from moorage.spec.referrers import fallback_tag, index_body, referrer_descriptor


def test_the_empty_list_is_the_known_empty_index() -> None:
    """No referrers give exactly the 88 bytes whose digest is in everybody's tables."""
    body = index_body([])

    assert body == b'{"schemaVersion":2,"mediaType":"' + OCI_INDEX.encode() + b'","manifests":[]}'
    assert Digest.of(body).encoded == (
        "dff9de10919148711140d349bf03f1a99eb06f94b03e51715ccebfa7cdc518e2"
    )


def test_optional_members_are_absent_rather_than_null() -> None:
    """Artifact type and annotations appear only when there are some."""
    digest = Digest.of(b"x")
    plain = {"mediaType": OCI_MANIFEST, "digest": str(digest), "size": 1}

    assert plain == referrer_descriptor(media_type=OCI_MANIFEST, digest=digest, size=1)
    assert plain == referrer_descriptor(
        media_type=OCI_MANIFEST, digest=digest, size=1, artifact_type="", annotations={}
    )
    assert plain | {"artifactType": "a/b", "annotations": {"c": "d"}} == referrer_descriptor(
        media_type=OCI_MANIFEST,
        digest=digest,
        size=1,
        artifact_type="a/b",
        annotations={"c": "d"},
    )


def test_fallback_tags_are_those_of_the_tag_schema() -> None:
    """sha256 keeps its whole digest, sha512 the first 64 digits."""
    short, long = Digest.of(b"x"), Digest.of(b"x", "sha512")

    assert fallback_tag(short) == f"sha256-{short.encoded}"
    assert fallback_tag(long) == f"sha512-{long.encoded[:64]}"


@given(
    st.from_regex(r"[a-z0-9]+([+._-][a-z0-9]+)*", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9=_-]+", fullmatch=True),
)
def test_every_digest_of_the_grammar_has_a_valid_fallback_tag(algorithm: str, encoded: str) -> None:
    """Whatever algorithm comes later, the fallback tag is a tag."""
    tag = fallback_tag(Digest(f"{algorithm}:{encoded}"))

    assert tag == parse_tag(tag)


@given(
    st.lists(
        st.builds(
            referrer_descriptor,
            media_type=st.just(OCI_MANIFEST),
            digest=st.binary().map(Digest.of),
            size=st.integers(0, 2**63 - 1),
            artifact_type=st.none() | st.just("application/vnd.example"),
            annotations=st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"])),
                st.text(st.characters(exclude_categories=["Cs"])),
            ),
        )
    )
)
def test_the_list_is_an_index_that_we_would_take_ourselves(
    descriptors: list[dict[str, object]],
) -> None:
    """The body parses as an OCI index with the same descriptors in the same order."""
    body = index_body(descriptors)

    children = parse_manifest(body, OCI_INDEX).children

    assert descriptors == json.loads(body)["manifests"]
    assert descriptors == [
        referrer_descriptor(
            media_type=child.media_type,
            digest=child.digest,
            size=child.size,
            artifact_type=child.artifact_type,
            annotations=child.annotations,
        )
        for child in children
    ]
