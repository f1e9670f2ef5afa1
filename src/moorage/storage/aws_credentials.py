# SPDX-License-Identifier: Apache-2.0
"""Keys from the file that the AWS tools share, which the object store library does not read.

Used only where neither the settings nor the environment give keys, nor a token file or a container
service that the library asks by itself. The file is read again now and then, so that keys which
another program renews stay valid.
"""

from __future__ import annotations

import configparser
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from obstore.store import S3Credential

REREAD = timedelta(minutes=5)
# With one of these the library finds credentials without the file.
_OTHER_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)


def shared_credentials(
    environ: Mapping[str, str] | None = None,
) -> Callable[[], S3Credential] | None:
    """What reads the keys of the profile; None where the library is to look for itself."""
    environ = os.environ if environ is None else environ
    if any(environ.get(name) for name in _OTHER_SOURCES):
        return None
    named = environ.get("AWS_SHARED_CREDENTIALS_FILE")
    path = Path(named) if named else Path("~/.aws/credentials").expanduser()
    profile = environ.get("AWS_PROFILE") or "default"
    if _read(path, profile) is None:
        return None

    def provide() -> S3Credential:
        credential = _read(path, profile)
        if credential is None:
            raise OSError(f"{path} has no keys for the profile {profile} any more")
        return credential

    return provide


def _read(path: Path, profile: str) -> S3Credential | None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
        section = parser[profile]
        return {
            "access_key_id": section["aws_access_key_id"].strip(),
            "secret_access_key": section["aws_secret_access_key"].strip(),
            "token": section.get("aws_session_token"),
            "expires_at": datetime.now(UTC) + REREAD,
        }
    except (OSError, KeyError, ValueError, configparser.Error):
        return None
