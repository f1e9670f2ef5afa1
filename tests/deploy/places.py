# SPDX-License-Identifier: Apache-2.0
"""Where the examples are, so that every test of them reads the files that people are given."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
