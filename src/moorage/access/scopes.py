# SPDX-License-Identifier: Apache-2.0
"""The words of the token protocol: `repository:a/b:pull,push`, `registry:catalog:*`.

Parsing and writing of scopes only; who is granted what is decided in `service`. Invariant: what a
client writes into a scope can at worst be dropped. "Unknown type or forbidden action" is no error
there: the token is then simply worth less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moorage.spec.errors import NameInvalid
from moorage.spec.names import RepositoryName, parse_repository

if TYPE_CHECKING:
    from collections.abc import Iterable

Action = Literal["pull", "push", "delete", "catalog"]

ScopeKind = Literal["repository", "registry"]

# What `*` asks for on a repository: podman wants it to delete a tag.
REPOSITORY_ACTIONS: tuple[Action, ...] = ("pull", "push", "delete")

# One token covers at most so many resources. A push with mounts from several repositories needs
# a handful; the bound keeps the token well below the 8 KiB that proxies allow one header.
MAX_SCOPES = 64

_CATALOG = "catalog"


@dataclass(frozen=True, slots=True)
class Scope:
    """Some actions on one resource."""

    kind: ScopeKind
    name: str
    actions: tuple[Action, ...]

    def covers(self, action: Action, repository: RepositoryName | None) -> bool:
        """Whether this scope is about the repository (None: the registry) and holds the action."""
        if action not in self.actions:
            return False
        if repository is None:
            return self.kind == "registry"
        return self.kind == "repository" and self.name == repository

    def __str__(self) -> str:
        """Write the scope as a challenge shows it."""
        actions = "*" if self.kind == "registry" else ",".join(self.actions)
        return f"{self.kind}:{self.name}:{actions}"


def parse_scopes(values: Iterable[str]) -> tuple[Scope, ...]:
    """The scopes of repeated and space-separated parameters, one a resource, in their order.

    "type to the first `:`, actions after the last `:`": what stands between is the name.
    """
    merged: dict[tuple[ScopeKind, str], dict[Action, None]] = {}
    for item in dict.fromkeys(item for value in values for item in value.split()):
        scope = _parse_scope(item)
        if scope is not None:
            actions = merged.setdefault((scope.kind, scope.name), {})
            actions.update(dict.fromkeys(scope.actions))
    return tuple(Scope(kind, name, tuple(actions)) for (kind, name), actions in merged.items())


def _parse_scope(text: str) -> Scope | None:
    kind, _, rest = text.partition(":")
    name, colon, asked = rest.rpartition(":")
    # `repository(plugin)` is the same repository, asked for by a client that knows its class.
    kind = kind.partition("(")[0]
    if not colon:
        return None
    wanted = asked.split(",")
    if kind == "registry":
        is_catalog = name == _CATALOG and "*" in wanted
        return Scope("registry", _CATALOG, ("catalog",)) if is_catalog else None
    if kind != "repository":
        return None
    try:
        repository = parse_repository(name)
    except NameInvalid:
        return None
    actions = tuple(a for a in REPOSITORY_ACTIONS if a in wanted or "*" in wanted)
    return Scope("repository", repository, actions) if actions else None


def needed_scope(action: Action, repository: RepositoryName | None) -> Scope:
    """The scope that a client must hold for the action, as its challenge names it."""
    if repository is None:
        return Scope("registry", _CATALOG, ("catalog",))
    # Every client that pushes also asks what is there already, and wants one token for both.
    return Scope("repository", repository, ("pull",) if action == "pull" else ("pull", action))
