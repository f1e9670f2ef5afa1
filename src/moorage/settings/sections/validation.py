# SPDX-License-Identifier: Apache-2.0
"""The `validation` section: what else is asked of a manifest that is pushed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moorage.settings.compounds import ListOf
from moorage.settings.kinds import Boolean, Choice, Pattern
from moorage.settings.leaves import section, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """What an index refers to."""

    platforms: Literal["none", "all"] = setting(
        Choice(("none", "all")),
        "none",
        "Whether every manifest of an index must be in the repository before the index is "
        "accepted: `all` refuses the index otherwise, `none` accepts it, as mirroring tools need "
        "that copy only some platforms. **Differs from distribution**, where `all` is the default. "
        "Configs and layers of an image must be there in any case.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class URLs:
    """Layers that are somewhere else."""

    allow: tuple[str, ...] = setting(
        ListOf(Pattern()),
        (),
        "Regular expressions; when there are any, each URL of a pushed manifest's layers must "
        "match one. **Differs from distribution**, which refuses every URL when the list is empty.",
    )
    deny: tuple[str, ...] = setting(
        ListOf(Pattern()),
        (),
        "Regular expressions that no URL of a pushed manifest's layers may match.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """What is asked of manifests."""

    indexes: Indexes = section(Indexes, "What an index refers to.")
    urls: URLs = section(URLs, "Layers that are not in the registry but at a URL.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What else is asked of a manifest that is pushed."""

    disabled: bool = setting(
        Boolean(),
        False,
        "Take every manifest that is one: ignore the rest of this section, and take images before "
        "their configs and layers are there. What the specification demands is checked in any "
        "case.",
    )
    manifests: Manifests = section(Manifests, "What is asked of manifests.")
