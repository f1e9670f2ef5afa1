# SPDX-License-Identifier: Apache-2.0
"""`moorage ls`, beside a registry that serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Commands
from tests.support.images import Content, Image, index, push_image, push_manifest, random_image
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Stocked:
    """A running registry and what is in it."""

    commands: Commands
    images: tuple[Image, Image]
    index: Content

    def size(self, *images: Image) -> int:
        """The bytes of the distinct blobs of the images."""
        return sum({blob.digest: blob.size for each in images for blob in each.blobs}.values())


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    """team/app with two tags, one of them an index, and base with one."""
    images = random_image(layers=2), random_image(architecture="arm64")
    both = index([image.manifest.descriptor() for image in images])
    with (
        RunningRegistry(tmp_path_factory.mktemp("registry")) as running,
        Wire(f"http://{running.host}") as wire,
    ):
        push_image(wire, "team/app", images[0], "1.0")
        push_image(wire, "team/app", images[1])
        push_manifest(wire, "team/app", both, "multi")
        push_image(wire, "base", images[0], "stable")
        yield Stocked(Commands.of(running), images, both)


def test_repositories(stocked: Stocked) -> None:
    """Repositories come with their tags counted, their size and their last push."""
    listed = stocked.commands.run("ls", "--json").json()

    assert [(each["name"], each["tags"], each["size"]) for each in listed] == [
        ("base", 1, stocked.size(stocked.images[0])),
        ("team/app", 2, stocked.size(*stocked.images)),
    ]
    assert all(each["pushed"].endswith("Z") for each in listed)
    lines = stocked.commands.run("ls").text.splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAGS", "SIZE", "LAST", "PUSH"]
    assert lines[2].startswith("team/app    2 ")
    assert lines[2].endswith("just now")


def test_tags(stocked: Stocked) -> None:
    """Tags come with digest, media type and size; an index has the size of its images."""
    listed = stocked.commands.run("ls", "team/app", "--json").json()

    assert [(each["name"], each["digest"], each["size"]) for each in listed] == [
        ("1.0", stocked.images[0].manifest.digest, stocked.size(stocked.images[0])),
        ("multi", stocked.index.digest, stocked.size(*stocked.images)),
    ]
    assert listed[1]["mediaType"] == stocked.index.media_type
    assert stocked.index.digest in stocked.commands.run("ls", "team/app").text


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("team/*",), ["team/app"]),
        (("--match", "b*"), ["base"]),
        (("team/app", "--match", "*.0"), ["1.0"]),
        (("none/*",), []),
    ],
)
def test_patterns(stocked: Stocked, arguments: tuple[str, ...], names: list[str]) -> None:
    """A pattern chooses among repositories, or among the tags of one."""
    listed = stocked.commands.run("ls", *arguments, "--json").json()

    assert [each["name"] for each in listed] == names


def test_an_unknown_repository(stocked: Stocked) -> None:
    """A repository that is not there is exit code 1 and a sentence."""
    outcome = stocked.commands.run("ls", "absent")

    assert outcome.code == 1
    assert "there is no repository absent" in outcome.errors
