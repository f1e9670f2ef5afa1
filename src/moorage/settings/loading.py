# SPDX-License-Identifier: Apache-2.0
"""From a file and the environment to settings: the one way in.

Puts the steps in order: read, lay variables over, build, check. The invariant: what comes out is
complete and valid, and every value's origin is known; otherwise there is one `SettingsError` with
every reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.settings.aliases import rename_aliases, rename_variables
from moorage.settings.building import Report, build
from moorage.settings.checks import STORES, check
from moorage.settings.document import MAX_BYTES, Scalar, Section, is_empty, read_document
from moorage.settings.elsewhere import ALIASES
from moorage.settings.environment import (
    CONFIGURATION_PATH,
    LOGLEVEL,
    SHORT_FORMS,
    apply_environment,
    expand_short_form,
)
from moorage.settings.errors import SettingsError
from moorage.settings.options import apply_options
from moorage.settings.tree import Settings, shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moorage.settings.options import Option
    from moorage.settings.sections.storage import Storage


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, where each value came from, and what the user should know."""

    settings: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...]


def load(
    path: Path | None, environ: Mapping[str, str], options: Mapping[str, Option] | None = None
) -> Loaded:
    """The settings of a file, else of `REGISTRY_CONFIGURATION_PATH`, under the environment's.

    `options` are those of the command line by the dotted key that each sets; they win over both.
    """
    if path is None and environ.get(CONFIGURATION_PATH):
        path = Path(environ[CONFIGURATION_PATH])
    report = Report()
    document = Section({}, "environment") if path is None else _read_file(path)
    for key in SHORT_FORMS:
        if key in document.entries:
            document.entries[key] = expand_short_form(document.entries[key])
    tree = shape()
    rename_aliases(document)
    report.warnings += apply_environment(document, rename_variables(environ), tree)
    rename_aliases(document)
    apply_options(document, options or {})
    _move_loglevel(document, report)
    settings = build(document, tree, report)
    if isinstance(settings, Settings):
        report.problems += check(settings, document, report.sources)
    if report.problems or not isinstance(settings, Settings):
        raise SettingsError(report.problems)
    return Loaded(settings, report.sources, tuple(report.warnings))


def load_store(path: Path) -> Storage:
    """The store that a file names, of ours or of distribution; nothing else in it is looked at.

    Raises:
        SettingsError: it names none, or one that cannot be used.
    """
    document = _read_file(path)
    given = document.entries.get("storage")
    if given is not None:
        given = expand_short_form(given)
    only = Section({}, str(path))
    document = Section({"storage": only}, str(path))
    if isinstance(given, Section):
        only.origin = given.origin
        for name, node in given.entries.items():
            if name in STORES or ALIASES.get(f"storage.{name}"):
                only.entries[name] = node
    if len(only.entries) != 1:
        raise SettingsError([f"{only.origin}: storage must name one store: {', '.join(STORES)}"])
    rename_aliases(document)
    report = Report()
    settings = build(document, shape(), report)
    if report.problems or not isinstance(settings, Settings):
        raise SettingsError(report.problems)
    return settings.storage


def _read_file(path: Path) -> Section:
    try:
        with path.open("rb") as file:
            payload = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        message = f"{path}: there is no such file; without a file the defaults are used"
        raise SettingsError([message]) from None
    except OSError as error:
        advice = "name a settings file that the registry's user may read"
        raise SettingsError([f"{path}: cannot be read: {error.strerror}: {advice}"]) from None
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError([f"{path}: is not text in UTF-8"]) from None
    root = read_document(text, str(path))
    if root is None or is_empty(root):
        return Section({}, str(path))
    if not isinstance(root, Section):
        raise SettingsError([f"{root.origin}: settings are `key: value`, not a list or a text"])
    return root


def _move_loglevel(document: Section, report: Report) -> None:
    """Distribution's oldest key for `log.level`; the new one wins."""
    if LOGLEVEL not in document.entries:
        return
    place = document.place(LOGLEVEL)
    level = document.entries.pop(LOGLEVEL)
    report.warnings.append(f"{place}: loglevel is the old name of log.level: use that")
    log = document.entries.get("log")
    if log is None or is_empty(log):
        log = document.entries["log"] = Section({}, level.origin)
    if isinstance(log, Section) and is_empty(log.entries.get("level", Scalar("", None, ""))):
        log.entries["level"] = level
