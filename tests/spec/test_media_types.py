# SPDX-License-Identifier: Apache-2.0
"""Media types: which sets they belong to and what may be left out of a push."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec import media_types


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", True),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar", True),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", True),
        (media_types.OCI_LAYER_GZIP, False),
        (media_types.DOCKER_LAYER_GZIP, False),
        ("application/vnd.example.nondistributable", False),
        ("", False),
    ],
)
def test_non_distributable_layers_are_known(media_type: str, *, expected: bool) -> None:
    """Exactly the non-distributable OCI and the foreign Docker layers may be left out."""
    assert expected == media_types.is_non_distributable(media_type)


def test_manifest_types_are_three_disjoint_kinds() -> None:
    """Each manifest type is an image, an index or an artifact, and schema 1 is none of them."""
    kinds = [media_types.IMAGE_TYPES, media_types.INDEX_TYPES, media_types.ARTIFACT_TYPES]

    assert sum(map(len, kinds)) == len(media_types.MANIFEST_TYPES)
    assert media_types.MANIFEST_TYPES.isdisjoint(media_types.SCHEMA1_TYPES)


@pytest.mark.parametrize(
    ("header", "bare"),
    [
        (media_types.OCI_INDEX, media_types.OCI_INDEX),
        (f"{media_types.OCI_INDEX}; charset=utf-8", media_types.OCI_INDEX),
        (f" {media_types.OCI_INDEX} ;a=b;c=d", media_types.OCI_INDEX),
        ("Application/JSON", "application/json"),
        ("", ""),
        (";", ""),
    ],
)
def test_parameters_are_stripped(header: str, bare: str) -> None:
    """Parameters and blanks are no part of a media type and letter case does not matter."""
    assert bare == media_types.without_parameters(header)


@given(st.text())
def test_any_header_has_a_bare_form(header: str) -> None:
    """No text makes the functions raise, and stripping twice is stripping once."""
    bare = media_types.without_parameters(header)

    media_types.is_non_distributable(header)
    assert ";" not in bare
    assert bare == media_types.without_parameters(bare)
