# SPDX-License-Identifier: Apache-2.0
"""Repositories against a model of a few dictionaries: pushed, tagged, mounted, deleted, listed.

The contents are few, so that the same blob and the same manifest are pushed again, elsewhere, and
after they were deleted. After each step the touched repository holds exactly what the model holds,
however it is asked.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.asgi import InProcess, registry_app
from tests.support.images import (
    OCI_CONFIG,
    OCI_LAYER,
    Content,
    blob_path,
    image_manifest,
    index,
    manifest_path,
    with_digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from tests.support.engines import Engine
    from tests.support.wire import Answer

T = TypeVar("T")

REPOSITORIES = ("a", "a/manifests/b", "tags", "z")
TAGS = ("1", "1.0", "A", "a", "latest")
ARTIFACT_TYPES = ("application/vnd.example.one", "application/vnd.example.two")
CONFIGS = tuple(Content(f"config {number}".encode(), OCI_CONFIG) for number in range(2))
LAYERS = tuple(
    Content(f"layer {number}".encode(), OCI_LAYER, algorithm)
    for number, algorithm in enumerate(("sha256", "sha256", "sha512"))
)
BLOBS = CONFIGS + LAYERS

repositories = st.sampled_from(REPOSITORIES)
blobs = st.sampled_from(BLOBS)
tags = st.sampled_from(TAGS)
some_tags = st.lists(tags, max_size=3, unique=True)
images = st.builds(
    lambda config, layers, algorithm: Manifest(
        image_manifest(config, layers, algorithm=algorithm), (config, *layers)
    ),
    st.sampled_from(CONFIGS),
    st.lists(st.sampled_from(LAYERS), max_size=2, unique=True),
    st.sampled_from(["sha256", "sha256", "sha512"]),
)
# One of what the model has, chosen by number.
numbers = st.integers(0, 20)


@dataclass(frozen=True)
class Manifest:
    """A manifest, what it needs, and whose referrer it is."""

    content: Content
    needs: tuple[Content, ...] = ()
    subject: str = ""
    artifact_type: str = ""


@dataclass
class Repository:
    """What a repository should hold."""

    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class ContentMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__()
        self._folder = folder
        self._engine = engine
        self._client = InProcess(registry_app(folder, engine.config))
        self._client.__enter__()
        self._model: defaultdict[str, Repository] = defaultdict(Repository)
        self._touched = "a"

    def teardown(self) -> None:
        """End the registry and leave nothing behind."""
        self._client.__exit__()
        shutil.rmtree(self._folder)
        self._engine.clear()

    # Blobs

    @rule(name=repositories, blob=blobs)
    def push_blob(self, name: str, blob: Content) -> None:
        """A blob is readable in the repository that it was pushed to."""
        target = with_digest(f"/v2/{name}/blobs/uploads/", blob.digest)
        answer = self._client.request("POST", target, body=blob.payload)
        assert answer.status == 201, answer
        self._at(name).blobs.add(blob.digest)

    @rule(name=repositories, source=st.none() | repositories, blob=blobs)
    def mount(self, name: str, source: str | None, blob: Content) -> None:
        """A mount works from where the blob is, or from anywhere if no source is named."""
        query = f"?mount={blob.digest}" + (f"&from={source}" if source else "")
        sources = {source or "", name} if source else {*self._model}
        possible = any(blob.digest in self._peek(each).blobs for each in sources)
        answer = self._client.request("POST", f"/v2/{name}/blobs/uploads/{query}")
        assert answer.status == (201 if possible else 202), answer
        if possible:
            self._at(name).blobs.add(blob.digest)
        else:
            assert self._client.request("DELETE", answer.location).status == 204

    @precondition(lambda self: self._model)
    @rule(pick=numbers)
    def delete_blob(self, pick: int) -> None:
        """A deleted blob is gone from its repository and from no other, and only once."""
        found = [(name, digest) for name, at in self._model.items() for digest in sorted(at.blobs)]
        for name, digest in one_of(found, pick):
            target = blob_path(name, digest)
            assert self._client.request("DELETE", target).status == 202
            self._at(name).blobs.remove(digest)
            assert self._client.request("DELETE", target).status == 404

    # Manifests

    @rule(name=repositories, image=images, named=some_tags)
    def push_image(self, name: str, image: Manifest, named: list[str]) -> None:
        """An image is taken if all that it needs is there."""
        self._push(name, image, named)

    @rule(name=repositories, image=images, named=some_tags)
    def push_image_with_its_blobs(self, name: str, image: Manifest, named: list[str]) -> None:
        """As clients do: what it needs first."""
        for blob in image.needs:
            self.push_blob(name, blob)
        self._push(name, image, named)

    @rule(name=repositories, picks=st.lists(numbers, max_size=3), named=some_tags)
    def push_index(self, name: str, picks: list[int], named: list[str]) -> None:
        """An index is taken, whether or not its children are here."""
        children = self._pick_all(picks)
        self._push(name, Manifest(index([child.content.descriptor() for child in children])), named)

    @rule(
        name=repositories,
        pick=numbers,
        artifact_type=st.sampled_from(ARTIFACT_TYPES),
        layer=st.sampled_from(LAYERS),
    )
    def push_artifact(self, name: str, pick: int, artifact_type: str, layer: Content) -> None:
        """An artifact is taken, whether or not its subject is here."""
        subjects = [known for known in self._everything().values() if not known.subject]
        subject = [*one_of(subjects, pick), Manifest(image_manifest(CONFIGS[0], []))][0]
        for blob in (CONFIGS[0], layer):
            self.push_blob(name, blob)
        content = image_manifest(
            CONFIGS[0], [layer], artifactType=artifact_type, subject=subject.content.descriptor()
        )
        digest = subject.content.digest
        self._push(name, Manifest(content, (CONFIGS[0], layer), digest, artifact_type), [])

    @rule(name=repositories, pick=numbers, picks=st.lists(numbers, min_size=1, max_size=2))
    def push_fallback_index(self, name: str, pick: int, picks: list[int]) -> None:
        """Older clients keep lists of referrers themselves, under a tag made of the subject."""
        subjects, listed = self._pick_all([pick]), self._pick_all(picks)
        if subjects and listed:
            content = index([manifest.content.descriptor() for manifest in listed])
            self._push(name, Manifest(content), [fallback_tag(subjects[0].content.digest)])

    @rule(name=repositories, pick=numbers, named=some_tags)
    def push_again(self, name: str, pick: int, named: list[str]) -> None:
        """A manifest that is there may be pushed again, to move tags."""
        for manifest in self._pick_all([pick]):
            self._push(name, manifest, named)

    @precondition(lambda self: self._model)
    @rule(pick=numbers)
    def delete_manifest(self, pick: int) -> None:
        """With a manifest all its tags go, and it can be deleted only once."""
        found = [(name, digest) for name, at in self._model.items() for digest in at.manifests]
        for name, digest in one_of(found, pick):
            target = manifest_path(name, digest)
            assert self._client.request("DELETE", target).status == 202
            repository = self._at(name)
            del repository.manifests[digest]
            repository.tags = {k: v for k, v in repository.tags.items() if v != digest}
            assert self._client.request("DELETE", target).status == 404

    @precondition(lambda self: self._model)
    @rule(pick=numbers)
    def delete_tag(self, pick: int) -> None:
        """A deleted tag leaves its manifest, and can be deleted only once."""
        found = [(name, tag) for name, at in self._model.items() for tag in sorted(at.tags)]
        for name, tag in one_of(found, pick):
            target = manifest_path(name, tag)
            assert self._client.request("DELETE", target).status == 202
            del self._at(name).tags[tag]
            assert self._client.request("DELETE", target).status == 404

    @rule()
    def restart(self) -> None:
        """A restart changes nothing."""
        self._client.__exit__()
        self._client = InProcess(registry_app(self._folder, self._engine.config))
        self._client.__enter__()

    # What must hold

    @invariant()
    def blobs_are_there_or_not(self) -> None:
        """GET and HEAD agree with the model about every blob."""
        for blob in BLOBS:
            target = blob_path(self._touched, blob.digest)
            expected = 200 if blob.digest in self._peek(self._touched).blobs else 404
            answer = self._client.request("GET", target)
            assert answer.status == expected, answer
            assert self._client.request("HEAD", target).status == expected
            if expected == 200:
                assert answer.body == blob.payload

    @invariant()
    def manifests_are_what_was_pushed(self) -> None:
        """By digest each one that anybody knows is there, byte for byte, or is not there."""
        here = self._peek(self._touched).manifests
        for digest, manifest in self._everything().items():
            answer = self._client.request("GET", manifest_path(self._touched, digest))
            if digest in here:
                self._is(answer, manifest)
            else:
                assert answer.status == 404, answer

    @invariant()
    def tags_are_listed_and_lead_somewhere(self) -> None:
        """The pages of the list make up the tags, and each is its manifest."""
        repository = self._peek(self._touched)
        if self._touched in self._model:
            pages = self._pages(f"/v2/{self._touched}/tags/list?n=2", "tags")
            assert pages == sorted(repository.tags)
        for tag in {*TAGS, *repository.tags}:
            target = manifest_path(self._touched, tag)
            answer, head = self._client.request("GET", target), self._client.request("HEAD", target)
            assert answer.status == head.status
            if tag in repository.tags:
                self._is(answer, repository.manifests[repository.tags[tag]])
                assert head.headers["Docker-Content-Digest"] == repository.tags[tag]
            else:
                assert answer.status == 404, answer

    @invariant()
    def repositories_are_listed(self) -> None:
        """The catalogue's pages are all repositories that were ever pushed to."""
        assert self._pages("/v2/_catalog?n=1", "repositories") == sorted(self._model)

    @invariant()
    def referrers_are_listed(self) -> None:
        """Pages and filters give exactly the referrers, those of the fallback tag among them."""
        here = self._peek(self._touched).manifests
        subjects = {manifest.subject for manifest in here.values() if manifest.subject}
        for subject in {*subjects, *list(here)[:2]}:
            expected = self._referrers(subject)
            path = f"/v2/{self._touched}/referrers/{subject}"
            assert self._listed(f"{path}?n=1") == sorted(expected)
            for wanted in ARTIFACT_TYPES:
                filtered = [digest for digest, found in expected.items() if found == wanted]
                assert self._listed(f"{path}?artifactType={wanted}") == sorted(filtered)

    # How it is asked

    def _push(self, name: str, manifest: Manifest, named: Sequence[str]) -> None:
        content, repository = manifest.content, self._peek(name)
        by_tag = len(named) == 1 and content.algorithm == "sha256"
        target = manifest_path(name, named[0] if by_tag else content.digest)
        if not by_tag and named:
            target += "?" + "&".join(f"tag={tag}" for tag in named)
        answer = self._client.request(
            "PUT", target, ("Content-Type", content.media_type), body=content.payload
        )
        complete = all(blob.digest in repository.blobs for blob in manifest.needs)
        if complete or content.digest in repository.manifests:
            assert answer.status == 201, answer
            repository = self._at(name)
            repository.manifests[content.digest] = manifest
            repository.tags.update(dict.fromkeys(named, content.digest))
        else:
            assert answer.status == 400, answer
            assert set(answer.error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}

    def _at(self, name: str) -> Repository:
        """The model of a repository that is about to change."""
        self._touched = name
        return self._model[name]

    def _peek(self, name: str) -> Repository:
        return self._model.get(name, Repository())

    def _everything(self) -> dict[str, Manifest]:
        return {
            digest: manifest
            for repository in self._model.values()
            for digest, manifest in repository.manifests.items()
        }

    def _pick_all(self, picks: Iterable[int]) -> list[Manifest]:
        known = [*self._everything().values()]
        return [chosen for pick in picks for chosen in one_of(known, pick)]

    def _is(self, answer: Answer, manifest: Manifest) -> None:
        assert answer.status == 200, answer
        assert answer.body == manifest.content.payload
        assert answer.headers["Content-Type"] == manifest.content.media_type
        assert answer.headers["Docker-Content-Digest"] == manifest.content.digest

    def _referrers(self, subject: str) -> dict[str, str]:
        """The digests of all referrers of a subject, with their artifact types."""
        repository = self._peek(self._touched)
        found: dict[str, str] = {}
        kept = repository.tags.get(fallback_tag(subject))
        if kept is not None:
            document = json.loads(repository.manifests[kept].content.payload)
            found.update((child["digest"], "") for child in document.get("manifests", ()))
        for digest, manifest in repository.manifests.items():
            if manifest.subject == subject:
                found[digest] = manifest.artifact_type
        return {digest: kind for digest, kind in found.items() if digest in repository.manifests}

    def _listed(self, target: str) -> list[str]:
        return [
            descriptor["digest"]
            for page in self._documents(target)
            for descriptor in page["manifests"]
        ]

    def _pages(self, target: str, name: str) -> list[str]:
        return [entry for page in self._documents(target) for entry in page[name]]

    def _documents(self, target: str) -> Iterator[dict[str, Any]]:
        next_page: str | None = target
        while next_page is not None:
            answer = self._client.request("GET", next_page)
            assert answer.status == 200, answer
            yield json.loads(answer.body)
            link = answer.headers.get("Link")
            next_page = link[1 : link.index(">")] if link else None


def one_of(found: Sequence[T], pick: int) -> Sequence[T]:
    """One of what there is, if there is anything."""
    return [found[pick % len(found)]] if found else []


def fallback_tag(subject: str) -> str:
    """The tag that stands for a subject where a registry keeps no list of referrers."""
    algorithm, _, encoded = subject.partition(":")
    return f"{algorithm}-{encoded[:64]}"


def test_repository_content(tmp_path: Path, engine: Engine) -> None:
    """Repositories behave as the model does."""
    folders = count()

    def machine() -> ContentMachine:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        return ContentMachine(folder, engine)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # a factory will do, though its stub asks for a class
        settings=settings(max_examples=engine.examples(40), stateful_step_count=30),
    )
