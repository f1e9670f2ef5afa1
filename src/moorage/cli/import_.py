# SPDX-License-Identifier: Apache-2.0
"""`moorage import`: the data of distribution, an OCI layout or an archive of docker save.

A thin door to `moorage.transfer`. What was done goes to standard output, progress to standard
error.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from moorage.cli.opening import (
    DONE,
    FOUND,
    CannotRun,
    ConfigOption,
    Switch,
    refuse_option,
    run_command,
    settings_for,
)
from moorage.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moorage.settings import Settings
    from moorage.transfer.distribution_source import DistributionSource
    from moorage.transfer.into import ImportInto
    from moorage.transfer.report import ImportReport, Skipped

STANDARD_INPUT = "-"
SourceFormat = Literal["distribution", "oci", "docker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes:
    """The options of one call."""

    source: str
    source_config: Path | None
    format: SourceFormat | None
    repository: str | None
    tags: tuple[str, ...]
    copy: bool
    trust: bool
    move_tags: bool
    dry_run: bool
    as_json: bool


def command(  # noqa: PLR0913 (one for each option)
    source: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    source_config: Path | None = None,
    from_: Annotated[SourceFormat | None, Parameter(name="--from")] = None,
    repository: Annotated[str | None, Parameter(name=["--repository", "-r"])] = None,
    tag: Annotated[tuple[str, ...], Parameter(name=["--tag", "-t"], negative="")] = (),
    copy: Switch = False,
    trust: Switch = False,
    move_tags: Switch = False,
    dry_run: Switch = False,
    config: ConfigOption = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Take over a distribution folder, an OCI layout or an archive of docker save.

    Digests and tags stay what they are. Works while the registry serves; run it as the user that
    the registry runs as. What is there already is skipped, so an import that was interrupted is
    simply started again. Exit code 0: everything was taken; 1: something was left behind, and is
    named; 2: nothing could be taken.

    Parameters
    ----------
    source
        The rootdirectory of distribution; the folder or tar of an OCI layout; an archive of
        docker save. - is standard input. Archives may be compressed with gzip, bzip2 or xz.
    source_config
        The configuration file of a distribution, instead of a source: its data are taken from
        where its section storage says, be it a folder or an object store.
    from_
        What the source is, if it should not be found out.
    repository
        The repository that the images go into, instead of the names in the layout or archive.
    tag
        The tag of the image, instead of those in the layout or archive. May be given again.
    copy
        Copy the blobs of distribution. By default they become hard links, which need no time and
        no room, where both folders are on one file system.
    trust
        Do not read the blobs of distribution to compare them with their digests.
    move_tags
        Move a tag that points elsewhere in this registry to where it points in distribution.
    dry_run
        Read and check everything, and change nothing.
    as_json
        One JSON object with everything that was done instead of lines.
    """
    wishes = _Wishes(
        source=source or str(source_config or ""),
        source_config=source_config if source is None else None,
        format=from_,
        repository=repository,
        tags=tag,
        copy=copy,
        trust=trust,
        move_tags=move_tags,
        dry_run=dry_run,
        as_json=as_json,
    )
    if (source is None) == (source_config is None):
        return run_command("import", _refuse_sources())
    return run_command("import", _import(wishes, config))


async def _refuse_sources() -> int:
    raise CannotRun("name one source: a folder, an archive or -, or --source-config and its file")


async def _import(wishes: _Wishes, config: Path | None) -> int:
    from moorage.app import build_heart
    from moorage.cli.progress import shown_progress
    from moorage.content.changes import Actor
    from moorage.lifecycle.opening import opened
    from moorage.transfer.into import ImportInto
    from moorage.transfer.report import CannotTransfer, ImportReport

    report = ImportReport(_ignore if wishes.as_json else _print_skipped)
    with (
        _destination(settings_for(config, must_exist=False), dry_run=wishes.dry_run) as settings,
        shown_progress(silent=wishes.as_json) as progress,
    ):
        database, store, content = build_heart(settings, must_exist=wishes.dry_run)
        into = ImportInto(
            database=database,
            store=store,
            content=content,
            actor=Actor("moorage import"),
            progress=progress,
            report=report,
            dry_run=wishes.dry_run,
        )
        try:
            async with opened(database, store):
                await _run(wishes, settings, into)
        except CannotTransfer as error:
            raise CannotRun(f"{wishes.source}: {error}") from None
    _write_json(report) if wishes.as_json else _summarize(report, dry_run=wishes.dry_run)
    return FOUND if report.skipped else DONE


async def _run(wishes: _Wishes, settings: Settings, into: ImportInto) -> None:
    from moorage.app import manifest_rules
    from moorage.spec.names import parse_repository, parse_tag
    from moorage.transfer.from_distribution import Takeover, TakeoverOptions
    from moorage.transfer.importing import import_images, is_distribution

    refuse_option(wishes.source)
    path = None if wishes.source == STANDARD_INPUT else Path(wishes.source)
    guessed = wishes.format is None and path is not None and is_distribution(path)
    if wishes.source_config is not None or wishes.format == "distribution" or guessed:
        if path is None:
            raise CannotRun("the data of distribution is a folder; it cannot be read from -")
        _refuse(wishes, ("--repository", wishes.repository), ("--tag", wishes.tags))
        source = await _distribution(wishes, path, settings, into)
        options = TakeoverOptions(
            required=manifest_rules(settings.validation).required,
            copy=wishes.copy,
            verify=not wishes.trust,
            move_tags=wishes.move_tags,
        )
        await Takeover(source, into, options).run()
        return
    _refuse(
        wishes,
        ("--copy", wishes.copy),
        ("--trust", wishes.trust),
        ("--move-tags", wishes.move_tags),
    )
    await import_images(
        path or os.fdopen(sys.stdin.fileno(), "rb", closefd=False),
        settings.storage.filesystem.rootdirectory,
        wishes.format,
        parse_repository(wishes.repository) if wishes.repository else None,
        [parse_tag(tag) for tag in wishes.tags],
        into,
    )


async def _distribution(
    wishes: _Wishes, path: Path, settings: Settings, into: ImportInto
) -> DistributionSource:
    """The data of distribution: in the folder, or where the configuration file says.

    Raises:
        CannotTransfer: there are none.
    """
    from moorage.ground import build_source
    from moorage.settings import load_store
    from moorage.transfer.distribution_objects import DistributionObjects
    from moorage.transfer.distribution_tree import DistributionTree

    if wishes.source_config is None:
        return DistributionTree(path, into.report.skip)
    if wishes.format not in {None, "distribution"}:
        raise CannotRun(f"--from {wishes.format} does not go with --source-config")
    try:
        found = build_source(settings, load_store(wishes.source_config))
    except SettingsError as error:
        raise CannotRun(str(error)) from None
    if isinstance(found, Path):
        return DistributionTree(found, into.report.skip)
    _refuse(wishes, ("--copy", wishes.copy))
    source = DistributionObjects(*found, into.report.skip)
    await source.check()
    return source


def _refuse(wishes: _Wishes, *options: tuple[str, object]) -> None:
    """Refuse options that mean nothing for this kind of source."""
    for name, given in options:
        if given:
            raise CannotRun(f"{wishes.source}: {name} has no meaning for this kind of source")


@contextmanager
def _destination(settings: Settings, *, dry_run: bool) -> Iterator[Settings]:
    """The registry's settings; for a dry run where there is none, those of an empty one."""
    database = settings.sqlite_path
    if not dry_run or database is None or database.exists():
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="moorage-dry-run-") as folder:
        filesystem = replace(settings.storage.filesystem, rootdirectory=Path(folder))
        empty = replace(settings.database.sqlite, path=None)
        yield replace(
            settings,
            storage=replace(settings.storage, filesystem=filesystem),
            database=replace(settings.database, sqlite=empty),
        )


def _ignore(skipped: Skipped) -> None:
    """What was skipped is in the report too."""


def _print_skipped(skipped: Skipped) -> None:
    where = f"{skipped.repository}: " if skipped.repository else ""
    print(f"left behind: {where}{skipped.what}: {skipped.reason}", flush=True)  # noqa: T201


def _summarize(report: ImportReport, *, dry_run: bool) -> None:
    from moorage.cli.wording import counted, size_text

    for arrived in report.arrived:
        names = [f"{arrived.repository}:{tag}" for tag in arrived.tags] or [arrived.repository]
        for name in names:
            print(f"{name} {arrived.digest}")  # noqa: T201 (what the command is for)
    linked = f", {report.linked} by hard link" if report.linked else ""
    present = _amounts(report.blobs_present, report.manifests_present, report.tags_present)
    print(  # noqa: T201
        f"{'would import' if dry_run else 'imported'} "
        f"{_amounts(report.blobs, report.manifests, report.tags)} "
        f"({size_text(report.bytes)}{linked}) "
        f"in {counted(report.repositories, 'repository', 'repositories')}\n"
        f"already here: {present}; left behind: {len(report.skipped)}"
    )


def _amounts(blobs: int, manifests: int, tags: int) -> str:
    from moorage.cli.wording import counted

    return f"{counted(blobs, 'blob')}, {counted(manifests, 'manifest')}, {counted(tags, 'tag')}"


def _write_json(report: ImportReport) -> None:
    document = {
        "repositories": report.repositories,
        "blobs": report.blobs,
        "linked": report.linked,
        "bytes": report.bytes,
        "manifests": report.manifests,
        "tags": report.tags,
        "present": {
            "blobs": report.blobs_present,
            "manifests": report.manifests_present,
            "tags": report.tags_present,
        },
        "images": [asdict(arrived) for arrived in report.arrived],
        "skipped": [asdict(skipped) for skipped in report.skipped],
    }
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
