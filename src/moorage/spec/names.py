# SPDX-License-Identifier: Apache-2.0
"""Repository names, tags and references: the grammar of what stands in a path.

Finding the name in a path is the work of the routes, rights on it that of access. Invariant: a
`RepositoryName` or `TagName` is short, plain ASCII and free of `.`-only segments, so that it can
do no harm in a path, a header, a log line or a statement.
"""

from __future__ import annotations

import re
from typing import Final, NewType, TypeAlias

from moorage.spec.digests import Digest
from moorage.spec.errors import NameInvalid, TagInvalid, quoted

RepositoryName = NewType("RepositoryName", str)
TagName = NewType("TagName", str)
Reference: TypeAlias = TagName | Digest

# The specification warns that many clients take no more than 255 characters for host, slash and
# name together; distribution counts the name alone, so all of its names can move here.
MAX_REPOSITORY_NAME_LENGTH: Final = 255
MAX_TAG_LENGTH: Final = 128

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_is_repository = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*").fullmatch
_is_tag = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}").fullmatch


def parse_repository(text: str) -> RepositoryName:
    """The repository name that the text is, or `NameInvalid`."""
    if len(text) > MAX_REPOSITORY_NAME_LENGTH:
        raise NameInvalid(
            f"The repository name {quoted(text)} has {len(text)} characters; "
            f"use at most {MAX_REPOSITORY_NAME_LENGTH}."
        )
    if _is_repository(text) is None:
        raise NameInvalid(
            f"{quoted(text)} is not a repository name; use lower-case letters and digits, "
            "joined by single '.', one or two '_' or any number of '-', in parts separated by '/'."
        )
    return RepositoryName(text)


def parse_tag(text: str) -> TagName:
    """The tag that the text is, or `TagInvalid`."""
    if _is_tag(text) is None:
        raise TagInvalid(
            f"{quoted(text)} is not a tag; use up to {MAX_TAG_LENGTH} letters, digits, '_', '.' "
            "and '-', not beginning with '.' or '-'."
        )
    return TagName(text)


def parse_reference(text: str) -> Reference:
    """A digest if there is a colon, else a tag; or `DigestInvalid`, `TagInvalid`."""
    return Digest.parse(text) if ":" in text else parse_tag(text)
