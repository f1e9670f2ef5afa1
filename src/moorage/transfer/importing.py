# SPDX-License-Identifier: Apache-2.0
"""Which kind of source it is, and the import of a layout or archive."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from moorage.transfer.archive import open_archive, read_archive
from moorage.transfer.deposit import Deposit
from moorage.transfer.distribution_tree import find_tree
from moorage.transfer.docker_archive import CONTENTS_FILE, DockerArchiveImport
from moorage.transfer.files import FolderFiles
from moorage.transfer.oci_layout import INDEX_FILE, LayoutImport
from moorage.transfer.report import CannotTransfer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader

    from moorage.spec.names import RepositoryName, TagName
    from moorage.transfer.files import Files
    from moorage.transfer.into import ImportInto

ImageFormat: TypeAlias = Literal["oci", "docker"]
SourceFormat: TypeAlias = Literal["distribution", "oci", "docker"]


def is_distribution(source: Path) -> bool:
    """Whether the folder is the data of distribution."""
    return source.is_dir() and find_tree(source) is not None


def open_files(source: Path | BufferedReader, spool: Path) -> Files:
    """The files of a folder, an archive or a stream; see `open_archive` for what may go wrong."""
    if not isinstance(source, Path):
        return read_archive(source, spool)
    if source.is_dir():
        return FolderFiles(source)
    if not source.exists():
        raise CannotTransfer(f"there is no file or folder {source}")
    return open_archive(source, spool)


def format_of(files: Files) -> ImageFormat:
    """What the files are. An archive that is both is a layout, which keeps the real digests.

    Raises:
        CannotTransfer: neither.
    """
    if files.size(INDEX_FILE) is not None:
        return "oci"
    if files.size(CONTENTS_FILE) is not None:
        return "docker"
    raise CannotTransfer(
        "this is neither the data of distribution (docker/registry/v2), nor an OCI layout "
        f"({INDEX_FILE}), nor an archive of docker save ({CONTENTS_FILE})"
    )


async def import_images(
    source: Path | BufferedReader,
    spool: Path,
    wanted: ImageFormat | None,
    repository: RepositoryName | None,
    tags: Sequence[TagName],
    into: ImportInto,
) -> None:
    """Take the images of a layout or archive into the registry.

    Raises:
        CannotTransfer: nothing could be taken.
    """
    with closing(open_files(source, spool)) as files:
        into.progress.begin("reading content", 0, "bytes")
        found = wanted or format_of(files)
        deposit = Deposit(files, into)
        if found == "oci":
            await LayoutImport(files, deposit, into.report).run(repository, tags)
        else:
            await DockerArchiveImport(files, deposit, into.report).run(repository, tags)
    names = {arrived.repository for arrived in into.report.arrived}
    into.report.repositories = len(names)
