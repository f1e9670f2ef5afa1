# SPDX-License-Identifier: Apache-2.0
"""Moorage, a container registry: stores, delivers and manages OCI images and artifacts."""

from __future__ import annotations

__version__ = "0.1.0"
