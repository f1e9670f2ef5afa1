# SPDX-License-Identifier: Apache-2.0
"""The `auth` section: who may enter. Without it everybody may do everything, as in distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moorage.settings.kinds import Choice, FilePath, Text
from moorage.settings.leaves import optional_section, required, setting

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Htpasswd:
    """Names and password hashes in a file of Apache's format."""

    realm: str = setting(
        Text(
            name="a realm",
            example="example",
            pattern=r'[^\x00-\x1f\x7f"\\]+',
            advice=": leave out quotes, backslashes and control characters",
        ),
        "Moorage",
        "The name that clients show when they ask for a password. distribution requires it; here "
        "it has a default.",
    )
    path: Path = required(
        FilePath(),
        "The file with one `name:hash` a line, with bcrypt or argon2 hashes (`moorage htpasswd` "
        "writes it). It is read again when it changes. Required when the section is present.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """Who may enter."""

    htpasswd: Htpasswd | None = optional_section(
        Htpasswd,
        "Basic authentication against a file. When the section is present, nobody enters without "
        "a name and password from the file, except as `auth.anonymous` allows.",
        present_when_empty=True,
    )
    anonymous: Literal["none", "pull"] = setting(
        Choice(("none", "pull")),
        "none",
        "What somebody without a password may do when `auth.htpasswd` is present: nothing, or "
        "pull. With `pull` everybody reads and the known write. As at Docker Hub, clients then ask "
        "`/token` for a token first, which strangers get too; a request with neither password nor "
        "token is answered 401, so that a client logs in before it pushes and not in its middle.",
    )
