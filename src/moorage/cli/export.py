# SPDX-License-Identifier: Apache-2.0
"""`moorage export`: images as an OCI layout, in a folder, a tar or on standard output.

A thin door to `moorage.transfer`. Standard output is for the archive or for what was written.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from moorage.transfer.picking import Picked
    from moorage.transfer.writers import LayoutWriter

STANDARD_OUTPUT = "-"


def command(
    image: str,
    /,
    *more: Annotated[str, Parameter(name="destination", allow_leading_hyphen=True)],
    referrers: Switch = False,
    config: ConfigOption = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Write images as an OCI layout or archive.

    All platforms of an image come along. Works while the registry serves. Exit code 0: everything
    was written; 1: an image is not there or damaged, and nothing was written; 2: the export could
    not run.

    Parameters
    ----------
    image
        REPOSITORY:TAG, REPOSITORY@DIGEST, or REPOSITORY for all its tags. Any number of them.
    more
        The last argument: a new folder, a new file that ends in .tar, or - for a tar on standard
        output.
    referrers
        Write signatures, SBOMs and whatever else refers to an image with it.
    as_json
        One JSON object that tells what was written; not together with -.
    """
    images, destination = (image, *more[:-1]), more[-1] if more else ""
    return run_command(
        "export", _export(images, destination, config, referrers=referrers, as_json=as_json)
    )


async def _export(
    images: tuple[str, ...],
    destination: str,
    config: Path | None,
    *,
    referrers: bool,
    as_json: bool,
) -> int:
    from moorage.app import build_heart
    from moorage.cli.progress import shown_progress
    from moorage.lifecycle.opening import opened
    from moorage.transfer.exporting import Export
    from moorage.transfer.image_names import split_image
    from moorage.transfer.picking import Picking
    from moorage.transfer.report import CannotTransfer

    refuse_option(*images, destination)
    if not destination:
        raise CannotRun("name the images, and after them where to write them: a folder, a .tar, -")
    if destination == STANDARD_OUTPUT and (as_json or sys.stdout.isatty()):
        raise CannotRun("- writes the archive to standard output; send it to a file or program")
    wanted = [split_image(image) for image in images]
    database, store, content = build_heart(settings_for(config), must_exist=True)
    try:
        async with opened(database, store):
            with shown_progress(silent=as_json) as progress:
                picking = Picking(content, referrers=referrers)
                for repository, reference in wanted:
                    await picking.add(repository, reference)
                with _writer(destination) as writer:
                    await Export(content, store, progress).write(picking.picked, writer)
    except CannotTransfer as error:
        sys.stderr.write(f"moorage export: {error}\n")
        return FOUND
    _tell(picking.picked, destination, as_json=as_json)
    return DONE


def _writer(destination: str) -> AbstractContextManager[LayoutWriter]:
    from moorage.transfer.writers import folder_writer, stream_writer, tar_writer

    if destination == STANDARD_OUTPUT:
        return stream_writer(os.fdopen(sys.stdout.fileno(), "wb", closefd=False))
    if destination.endswith(".tar"):
        return tar_writer(Path(destination))
    return folder_writer(Path(destination))


def _tell(picked: Picked, destination: str, *, as_json: bool) -> None:
    from moorage.cli.wording import counted, size_text

    if as_json:
        document = {
            "destination": destination,
            "blobs": len(picked.pieces),
            "bytes": picked.size,
            "images": [
                {"repository": entry.repository, "tag": entry.tag, "digest": entry.digest}
                for entry in picked.entries.values()
            ],
            "absent": sorted(picked.absent),
        }
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for digest, repository in sorted(picked.absent.items()):
        sys.stderr.write(f"not in the registry, so not exported: {digest} of {repository}\n")
    sys.stderr.write(
        f"wrote {counted(len(picked.entries), 'image')} ({size_text(picked.size)}) "
        f"to {destination}\n"
    )
