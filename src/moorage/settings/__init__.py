# SPDX-License-Identifier: Apache-2.0
"""The settings: one tree of frozen values, loaded from a YAML file and `REGISTRY_*` variables.

The public names are these; other modules of the package are its inside. The keys are those of
distribution's `config.yml` wherever the concept is the same. The invariant: defaults, environment
names, JSON Schema and reference are all generated from the one tree in `sections`.
"""

from __future__ import annotations

from moorage.settings.checks import listens_unsafely
from moorage.settings.errors import SettingsError
from moorage.settings.loading import Loaded, load, load_store
from moorage.settings.options import Option
from moorage.settings.tree import Settings
from moorage.settings.values import parse_address, parse_duration, parse_size

__all__ = [
    "Loaded",
    "Option",
    "Settings",
    "SettingsError",
    "listens_unsafely",
    "load",
    "load_store",
    "parse_address",
    "parse_duration",
    "parse_size",
]
