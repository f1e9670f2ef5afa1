# SPDX-License-Identifier: Apache-2.0
"""What a client says in `Accept`, reduced to the three questions that a registry asks.

Manifests are never converted, so the header decides little: whether an old client that knows only
single images should get a child of an index, and whether it knows only formats that are gone.
Weights (`q`) order nothing here, only `q=0` counts. Invariant: any text is accepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from moorage.spec.media_types import ARTIFACT_TYPES, IMAGE_TYPES, JSON, SCHEMA1_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

# What clients from before indexes list beside the image types.
_SINGLE_IMAGE_TYPES: Final = IMAGE_TYPES | ARTIFACT_TYPES | SCHEMA1_TYPES | {JSON}
_ONLY_SCHEMA1_TYPES: Final = SCHEMA1_TYPES | {JSON}

_has_zero_weight = re.compile(
    r"(?:^|;)[ \t]*q[ \t]*=[ \t]*0(?:\.0*)?[ \t]*(?:;|$)", re.IGNORECASE
).search


@dataclass(frozen=True, slots=True)
class Preference:
    """The media types that a client takes; none listed means all."""

    accepted: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    def accepts(self, media_type: str) -> bool:
        """Whether the client takes content of this type."""
        if media_type in self.refused:
            return False
        return (
            not self.accepted
            or media_type in self.accepted
            or "*/*" in self.accepted
            or f"{media_type.partition('/')[0]}/*" in self.accepted
        )

    @property
    def only_single_images(self) -> bool:
        """Whether the client knows images but no indexes, and takes nothing else either."""
        return self.accepted <= _SINGLE_IMAGE_TYPES and not self.accepted.isdisjoint(IMAGE_TYPES)

    @property
    def only_schema1(self) -> bool:
        """Whether the client knows only the formats that Docker gave up in 2016."""
        return self.accepted <= _ONLY_SCHEMA1_TYPES and not self.accepted.isdisjoint(SCHEMA1_TYPES)


def parse_accept(values: Iterable[str]) -> Preference:
    """The preference in all `Accept` lines of a request; Docker and podman send several."""
    accepted: set[str] = set()
    refused: set[str] = set()
    for value in values:
        for item in value.split(","):
            name, semicolon, parameters = item.partition(";")
            media_type = name.strip().lower()
            if not media_type:
                continue
            if semicolon and _has_zero_weight(parameters) is not None:
                refused.add(media_type)
            else:
                accepted.add(media_type)
    return Preference(frozenset(accepted), frozenset(refused))
