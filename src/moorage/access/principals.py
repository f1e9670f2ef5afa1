# SPDX-License-Identifier: Apache-2.0
"""Who asks.

A principal is what credentials were turned into; how that happens does not show in it. A principal
that came with a token carries what the token was granted. Invariant: `scopes` only ever narrows
what the policy allows, it never adds to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from moorage.access.scopes import Scope

PrincipalKind = Literal["user", "anonymous"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who sends requests; `scopes` is None where no token narrows what they may do."""

    name: str
    kind: PrincipalKind
    scopes: tuple[Scope, ...] | None = None


ANONYMOUS = Principal("anonymous", "anonymous")
