# SPDX-License-Identifier: Apache-2.0
"""Accept headers as the clients send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.spec import media_types as mt
from moorage.spec.accept import parse_accept

CONTAINERD = [
    f"{mt.DOCKER_MANIFEST}, {mt.DOCKER_MANIFEST_LIST}, {mt.OCI_MANIFEST}, {mt.OCI_INDEX}, */*"
]
DOCKER_LINES = [mt.OCI_INDEX, mt.DOCKER_MANIFEST_LIST, mt.DOCKER_MANIFEST, mt.OCI_MANIFEST]
OLD_DOCKER = [mt.DOCKER_MANIFEST, mt.DOCKER_SCHEMA1_SIGNED_MANIFEST, mt.JSON]

TABLE = [
    ([], [mt.OCI_INDEX, "text/html"], []),
    ([""], [mt.OCI_INDEX], []),
    ([" , ,"], [mt.OCI_INDEX], []),
    (["*/*"], [mt.OCI_INDEX], []),
    (["application/*"], [mt.OCI_INDEX], ["text/plain"]),
    (CONTAINERD, [mt.OCI_INDEX, mt.DOCKER_MANIFEST, "text/plain"], []),
    (DOCKER_LINES, DOCKER_LINES, ["text/plain", mt.OCI_ARTIFACT_MANIFEST]),
    ([mt.OCI_MANIFEST], [mt.OCI_MANIFEST], [mt.OCI_INDEX, mt.DOCKER_MANIFEST]),
    ([f"{mt.OCI_MANIFEST};q=0.5 , {mt.OCI_INDEX}; q=1"], [mt.OCI_MANIFEST, mt.OCI_INDEX], ["a/b"]),
    ([f"*/*, {mt.OCI_INDEX};q=0"], [mt.OCI_MANIFEST], [mt.OCI_INDEX]),
    ([f"*/*, {mt.OCI_INDEX}; Q = 0.000 ;x=y"], [mt.OCI_MANIFEST], [mt.OCI_INDEX]),
    ([f"{mt.OCI_INDEX};q=0.001"], [mt.OCI_INDEX], [mt.OCI_MANIFEST]),
    ([mt.OCI_MANIFEST.upper()], [mt.OCI_MANIFEST], [mt.OCI_INDEX]),
]


@pytest.mark.parametrize(("values", "accepted", "refused"), TABLE)
def test_types_are_accepted_as_listed(
    values: list[str], accepted: list[str], refused: list[str]
) -> None:
    """Nothing listed means all; wildcards, several lines and q=0 count."""
    preference = parse_accept(values)

    assert all(preference.accepts(media_type) for media_type in accepted)
    assert not any(preference.accepts(media_type) for media_type in refused)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([mt.DOCKER_MANIFEST], True),
        ([mt.OCI_MANIFEST], True),
        ([f"{mt.OCI_MANIFEST}, {mt.DOCKER_MANIFEST}"], True),
        ([mt.OCI_MANIFEST, mt.DOCKER_MANIFEST], True),
        (OLD_DOCKER, True),
        ([f"{mt.OCI_MANIFEST};q=0.9"], True),
        ([], False),
        ([""], False),
        (["*/*"], False),
        ([mt.OCI_MANIFEST, "*/*"], False),
        ([mt.OCI_MANIFEST, "application/*"], False),
        ([mt.OCI_MANIFEST, mt.OCI_INDEX], False),
        ([mt.DOCKER_MANIFEST, mt.DOCKER_MANIFEST_LIST], False),
        ([mt.OCI_MANIFEST, "application/vnd.example"], False),
        ([mt.JSON], False),
        ([mt.DOCKER_SCHEMA1_MANIFEST], False),
        (CONTAINERD, False),
        (DOCKER_LINES, False),
        ([f"{mt.OCI_MANIFEST};q=0"], False),
    ],
)
def test_clients_that_know_only_images_are_recognized(values: list[str], *, expected: bool) -> None:
    """Exactly lists of single-image types, old companions included, without any wildcard."""
    assert expected is parse_accept(values).only_single_images


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([mt.DOCKER_SCHEMA1_MANIFEST], True),
        ([mt.DOCKER_SCHEMA1_SIGNED_MANIFEST, mt.JSON], True),
        (OLD_DOCKER, False),
        ([mt.JSON], False),
        ([], False),
        ([mt.DOCKER_SCHEMA1_MANIFEST, "*/*"], False),
    ],
)
def test_clients_that_know_only_schema_1_are_recognized(
    values: list[str], *, expected: bool
) -> None:
    """Nothing that we have can be served to them."""
    assert expected is parse_accept(values).only_schema1


@given(st.lists(st.text() | st.text("a/*;q=0., ")), st.text())
def test_any_header_is_understood_somehow(values: list[str], media_type: str) -> None:
    """No text raises, and lines may be joined by commas without a difference."""
    preference = parse_accept(values)

    assert isinstance(preference.accepts(media_type), bool)
    assert preference == parse_accept([",".join(values)])
    assert not (preference.only_single_images and preference.only_schema1)
