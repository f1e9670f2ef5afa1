# SPDX-License-Identifier: Apache-2.0
"""`moorage ls`: repositories, or the tags of one.

A thin door to `moorage.lifecycle.usage`. The list goes to standard output as it is read.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from moorage.cli.opening import DONE, FOUND, ConfigOption, run_command, settings_for
from moorage.cli.wording import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.lifecycle.usage import RepositoryUsage, TagUsage, Usage

_MICROSECONDS = 1_000_000
_PATTERN_CHARACTERS = frozenset("*?[")
_AGES = ((365 * 86400, "year"), (30 * 86400, "month"), (86400, "day"), (3600, "hour"))
_MINUTE = 60


def command(
    repository: str | None = None,
    /,
    *,
    match: str | None = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """List repositories, or the tags of a repository.

    Works while the registry serves. Exit code 0: done; 1: there is no such repository; 2: the
    registry cannot be read.

    Parameters
    ----------
    repository
        The repository whose tags to list. With * or ? in it: the repositories to list.
    match
        List only names that match this pattern, for example 'team/*' or '1.*'.
    as_json
        A JSON array with exact sizes and times instead of columns.
    """
    return run_command("ls", _list(repository, match, config, as_json=as_json))


async def _list(
    repository: str | None, match: str | None, config: ConfigOption, *, as_json: bool
) -> int:
    from moorage.app import build_heart
    from moorage.lifecycle.opening import opened
    from moorage.lifecycle.usage import Usage

    database, store, _ = build_heart(settings_for(config), must_exist=True)
    async with opened(database, store):
        usage = Usage(database)
        if repository is not None and not _PATTERN_CHARACTERS.intersection(repository):
            return await _list_tags(usage, repository, match or "*", as_json=as_json)
        patterns = [pattern for pattern in (repository, match) if pattern is not None]
        return await _list_repositories(usage, patterns, as_json=as_json)


async def _list_repositories(usage: Usage, patterns: Sequence[str], *, as_json: bool) -> int:
    found = [
        repository
        async for repository in usage.repositories()
        if all(fnmatchcase(repository.name, pattern) for pattern in patterns)
    ]
    if as_json:
        _write_json([_repository_json(repository) for repository in found])
    else:
        rows = [
            (each.name, str(each.tags), size_text(each.size), _age(each.pushed_at))
            for each in found
        ]
        _write_table(("REPOSITORY", "TAGS", "SIZE", "LAST PUSH"), rows)
    return DONE


async def _list_tags(usage: Usage, repository: str, match: str, *, as_json: bool) -> int:
    try:
        found = [tag async for tag in usage.tags(repository) if fnmatchcase(tag.name, match)]
    except KeyError:
        sys.stderr.write(
            f"moorage ls: there is no repository {repository}; `moorage ls` lists all of them\n"
        )
        return FOUND
    if as_json:
        _write_json([_tag_json(tag) for tag in found])
    else:
        rows = [
            (each.name, each.digest, size_text(each.size), _age(each.pushed_at), each.media_type)
            for each in found
        ]
        _write_table(("TAG", "DIGEST", "SIZE", "PUSHED", "MEDIA TYPE"), rows)
    return DONE


def _repository_json(repository: RepositoryUsage) -> dict[str, object]:
    return {
        "name": repository.name,
        "tags": repository.tags,
        "size": repository.size,
        "pushed": _time(repository.pushed_at),
    }


def _tag_json(tag: TagUsage) -> dict[str, object]:
    return {
        "name": tag.name,
        "digest": tag.digest,
        "mediaType": tag.media_type,
        "size": tag.size,
        "pushed": _time(tag.pushed_at),
        "tagged": _time(tag.tagged_at),
    }


def _write_json(rows: Sequence[dict[str, object]]) -> None:
    json.dump(rows, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _write_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _time(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    moment = datetime.fromtimestamp(microseconds // _MICROSECONDS, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _age(microseconds: int | None) -> str:
    if microseconds is None:
        return "never"
    seconds = int(time.time()) - microseconds // _MICROSECONDS
    for length, word in (*_AGES, (_MINUTE, "minute")):
        number = seconds // length
        if number >= 1:
            return f"{number} {word}{'' if number == 1 else 's'} ago"
    return "just now"
