# SPDX-License-Identifier: Apache-2.0
"""The reference of all settings in Markdown: `docs/settings.md` is this module's output.

Generated from the tree and from the tables of distribution's keys; only what is about all settings
together is written here. The invariant: nothing can be set that the reference does not name.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from moorage.settings.effective import flow, shown
from moorage.settings.elsewhere import ACCEPTED, REFUSED, REPLACED
from moorage.settings.leaves import Branch, Leaf, environment_name
from moorage.settings.tree import Settings, shape

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100

INTRODUCTION = """\
# Settings

<!-- Written by `moorage config --reference`; change the declarations in src/moorage/settings. -->

Everything has a default: `moorage serve` needs no file. A file is YAML, its keys are those of
distribution (`registry:2`, `registry:3`) wherever the concept is the same, and it is named on the
command line or by `REGISTRY_CONFIGURATION_PATH`:

```sh
moorage serve config.yml
moorage config config.yml            # what is in effect, and where each value came from
moorage config --schema              # a JSON Schema for editors
```

A key that is not known is an error that names the file, the line and the nearest known key. All
problems of a file are reported at once.

## The environment

Every key can be set by a variable, which wins over the file: `REGISTRY_` and the key in upper case
with `_` for each dot.

| variable | what it does |
|---|---|
| `REGISTRY_HTTP_ADDR=:5000` | sets one value |
| `REGISTRY_HTTP_HEADERS='{X-Frame-Options: [deny]}'` | a value is YAML: lists and maps too |
| `REGISTRY_HTTP_HEADERS_X-FRAME-OPTIONS='[deny]'` | adds or replaces one entry of a map |
| `REGISTRY_HTTP_TRUSTEDPROXIES_0=10.0.0.0/8` | replaces an entry of a list or adds one |
| `REGISTRY_STORAGE=inmemory` | replaces a whole section, here by its short form |
| `REGISTRY_HTTP_TLS_CERTIFICATE=` | an empty value takes the key back to its default |

Less specific variables are applied before more specific ones: `REGISTRY_AUTH=htpasswd` and
`REGISTRY_AUTH_HTPASSWD_PATH=/etc/users` together are a whole section. A variable that fits nowhere
is named in a warning; what Kubernetes sets for a service called `registry` is left alone.

## Notations

- **Durations** are numbers with units: `90s`, `1h30m`, `1.5h`, `250ms`. A number without unit is
  refused: distribution would read nanoseconds.
- **Sizes** are bytes, or numbers with `KiB`, `MiB`, `GiB` (1024) or `KB`, `MB`, `GB` (1000).
- **Booleans** are `true`/`false`, `yes`/`no` or `on`/`off`.
- **Lists** with one entry may be written without brackets.
- Anchors, aliases and `<<` work as usual; a key written twice is an error.
- A key with nothing behind it (`host:`) is as good as absent, except `storage.inmemory` and
  `auth.htpasswd`, whose presence says something.
"""

DIFFERENCES = """\
## What is different from distribution

- Without a file everything has a default; `version` and `storage` may be left out.
- `http.addr` is loopback unless set. `:5000` means all interfaces, as there, and is followed by a
  warning when authentication or encryption is missing.
- `storage.delete.enabled` is true: a delete closes an entry and destroys nothing in the request.
- `validation.manifests.indexes.platforms` is `none`, and an empty `urls.allow` allows every URL.
- `tags.maxtags` is {tags:,} instead of 1,000.
- A misspelled key is an error, not ignored.
"""


def markdown() -> str:
    """The whole reference."""
    tree = shape()
    differences = DIFFERENCES.format(tags=Settings().tags.maxtags)
    parts = [INTRODUCTION, *_branch(tree), *_tables(), differences]
    return "\n".join(parts)


def _branch(branch: Branch) -> Iterator[str]:
    for name, child in branch.children.items():
        if isinstance(child, Leaf):
            yield _leaf(child)
        else:
            level = "##" if not branch.path else "###"
            dotted = ".".join((*branch.path, name))
            yield f"{level} `{dotted}`\n\n{_wrapped(child.documentation)}\n"
            yield from _branch(child)


def _leaf(leaf: Leaf) -> str:
    heading = "##" if len(leaf.path) == 1 else "###"
    lines = [
        f"{heading} `{leaf.dotted}`",
        "",
        f"- Type: {leaf.kind.name}{', secret' if leaf.secret else ''}",
        f"- Default: {_default(leaf)}",
        f"- Environment: `{environment_name(leaf.path)}`",
        "",
        _wrapped(leaf.documentation),
        "",
    ]
    if leaf.bounds:
        lines += [_wrapped(f"*Why this default and these bounds:* {leaf.bounds}"), ""]
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _default(leaf: Leaf) -> str:
    if leaf.required:
        return "none; required in this section"
    if leaf.default is None:
        return "unset"
    if leaf.default == "":
        return "empty"
    value = shown(leaf, leaf.default)
    return f"`{value if isinstance(value, str) else flow(value)}`"


def _tables() -> Iterator[str]:
    yield (
        "## Keys of distribution that are accepted without effect\n\n"
        "Each is named in one warning when the registry starts.\n\n"
        "| key | instead |\n|---|---|"
    )
    for dotted, accepted in sorted(ACCEPTED.items()):
        yield f"| `{dotted}` | {accepted.advice} |"
    yield "| `loglevel` | the old name of `log.level`, which is set by it |\n"
    yield (
        "Values that are read as another, with a warning:\n\n"
        "| key | value | what is used |\n|---|---|---|"
    )
    for (dotted, value), replacement in sorted(REPLACED.items()):
        yield f"| `{dotted}` | `{value}` | {replacement.advice} |"
    yield (
        "\n## Keys of distribution that are refused\n\n"
        "Starting without them would open the registry or hide its content.\n\n"
        "| key | why, and what to do |\n|---|---|"
    )
    for dotted, advice in sorted(REFUSED.items()):
        yield f"| `{dotted}` | {advice} |"
    yield ""
