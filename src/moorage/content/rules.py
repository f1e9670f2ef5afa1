# SPDX-License-Identifier: Apache-2.0
"""What an operator asks of a pushed manifest beyond being one: `validation` in the settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moorage.spec.errors import ManifestInvalid, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.spec.manifests import Manifest, ReferenceKind


class LayerURLs:
    """Two lists of patterns, as distribution's `validation.manifests.urls`.

    A URL must match one of `allow`, where there are any, and none of `deny`.
    """

    def __init__(self, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> None:
        self._allow = [re.compile(pattern) for pattern in allow]
        self._deny = [re.compile(pattern) for pattern in deny]

    def check(self, manifest: Manifest) -> None:
        """Refuse the manifest if one of its layers names a URL that is not allowed.

        Raises:
            ManifestInvalid: with the URL.
        """
        for layer in manifest.layers:
            for url in layer.urls:
                if not self._is_allowed(url):
                    raise ManifestInvalid(
                        f"A layer names the URL {quoted(url)}, which this registry does not allow "
                        "(validation.manifests.urls)."
                    )

    def _is_allowed(self, url: str) -> bool:
        if any(pattern.search(url) for pattern in self._deny):
            return False
        return not self._allow or any(pattern.search(url) for pattern in self._allow)


@dataclass(frozen=True, slots=True)
class ManifestRules:
    """Which references must be in the repository, and which URLs may stand for layers.

    Without "child" an index may be sparse, as mirrors push it that copy only some platforms.
    """

    required: frozenset[ReferenceKind] = frozenset({"config", "layer"})
    urls: LayerURLs = field(default_factory=LayerURLs)


NO_RULES = ManifestRules(required=frozenset())
