# SPDX-License-Identifier: Apache-2.0
"""Image names as people and archives write them: `registry.example/team/app:1.4`.

Only the repository and the tag are of use here; the registry in front is cut off, and Docker Hub's
own `library/`, which nobody writes, with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.spec.digests import Digest
from moorage.spec.names import parse_repository, parse_tag

if TYPE_CHECKING:
    from moorage.spec.names import Reference, RepositoryName

_HUB = ("docker.io", "index.docker.io")
_HUB_OWN = "library/"


def split_image(text: str) -> tuple[RepositoryName, Reference | None]:
    """Repository and tag or digest of `REPOSITORY[:TAG|@DIGEST]` in this registry.

    Raises:
        OCIError: one of them is malformed.
    """
    name, at, digest = text.partition("@")
    if at:
        return parse_repository(_split_tag(name)[0]), Digest.parse(digest)
    name, tag = _split_tag(name)
    return parse_repository(name), parse_tag(tag) if tag is not None else None


def split_foreign_image(text: str) -> tuple[RepositoryName, Reference | None]:
    """The same of a name that may begin with a registry; raises as `split_image` does."""
    host, slash, rest = text.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        text = rest.removeprefix(_HUB_OWN) if host in _HUB else rest
    return split_image(text)


def _split_tag(name: str) -> tuple[str, str | None]:
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    return f"{head}{slash}{last}", tag if colon else None
